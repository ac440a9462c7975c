package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// renderFlags are the flags of all commands that render.
type renderFlags struct {
	size, freeSpace byteSize
	config          string
	bootkit         string
	kernelArgs      string
	volatile        bool
	outputType      string
	entrypoint      string
	persistent      bool
	tmpfs           bool
	compress        string
	parent          string
}

func (f *renderFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(&f.size, "size", "size of the disk (default: its content and --free-space; grows on first boot)")
	flags.Var(&f.freeSpace, "free-space", "free space of the root filesystem, at least (default 512M without --size)")
	flags.StringVar(&f.config, "config", "", configHelp)
	flags.StringVar(&f.bootkit, "bootkit", "", "reference of a boot kit in the same registry, for images without a bootloader")
	flags.StringVar(&f.kernelArgs, "append", "", "arguments to add to the kernel's command line")
	flags.BoolVar(&f.volatile, "volatile", false, "keep the image's volatile paths")
	flags.BoolVar(&f.tmpfs, "volatile-tmpfs", false, "mount directories for volatile files in memory")
	flags.BoolVar(&f.persistent, "persistent-disk", false, "mount the persistent paths from a second disk, which is rendered with --type persistent")
	flags.StringVar(&f.entrypoint, "entrypoint", "", "entry point: kernel, init or chroot (default: the first of the image's that the output can start)")
}

func (f *renderFlags) registerType(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.compress, "compress", "", "really compress the content, where the format can be: with its usual compression, or with the one that is named (see formats)")
	cmd.Flags().Lookup("compress").NoOptDefVal = converter.CompressDefault
	cmd.Flags().StringVar(&f.outputType, "type", "", "what is rendered: "+strings.Join(converter.Types(), ", ")+" (default: the first that the format holds, see formats)")
}

// request makes a render request of the flags, for the image that the
// repository's reference names.
func (f *renderFlags) request(cmd *cobra.Command, g *globals, repo *client.Repository, format string) (api.RenderRequest, error) {
	d, err := repo.Resolve(cmd.Context(), repo.TagOrDigest())
	if err != nil {
		return api.RenderRequest{}, fmt.Errorf("%s: %w", repo.Reference, err)
	}
	req := f.ask(format)
	req.Image = d.Digest
	if req.Config, err = readConfig(cmd, f.config); err != nil {
		return req, err
	}
	if req.Parent, err = parentBeside(g, cmd, repo, f.parent); err != nil {
		return req, err
	}
	if f.bootkit != "" {
		req.Bootkit, err = resolveBootkit(cmd, g, repo, f.bootkit)
	}
	return req, err
}

// ask returns what the flags say of an output, whatever the image.
func (f *renderFlags) ask(format string) api.RenderRequest {
	req := api.RenderRequest{
		Format: format, Size: int64(f.size), FreeSpace: int64(f.freeSpace),
		KernelArgs: f.kernelArgs, Volatile: f.volatile,
		Type: f.outputType, Compress: f.compress, Entrypoint: f.entrypoint, VolatileTmpfs: f.tmpfs,
		Persistent: f.persistent || f.outputType == converter.TypePersistent,
	}
	if f.outputType == converter.TypePersistent {
		req.Size, req.PersistentSize = 0, req.Size
	}
	return req
}

// parameters returns what the flags say of an output that is rendered here.
func (f *renderFlags) parameters(format string) converter.Parameters {
	return converter.Derive(f.ask(format)).Parameters()
}

// readConfig reads what was given for a configuration: nil for nothing.
func readConfig(cmd *cobra.Command, given string) (json.RawMessage, error) {
	switch {
	case given == "":
		return nil, nil
	case given == "-":
		return io.ReadAll(io.LimitReader(cmd.InOrStdin(), cloudlet.MaxConfigurationSize+1))
	case strings.HasPrefix(strings.TrimSpace(given), "{"):
		return json.RawMessage(given), nil
	}
	return readLimited(given, cloudlet.MaxConfigurationSize)
}

func resolveBootkit(cmd *cobra.Command, g *globals, repo *client.Repository, reference string) (*api.Bootkit, error) {
	kit, err := g.repository(cmd, reference)
	if err != nil {
		return nil, err
	}
	if kit.Reference.Registry != repo.Reference.Registry {
		return nil, usageError{fmt.Errorf("boot kit %s: expected one on %s, where the image is: copy it there first", reference, repo.Reference.Registry)}
	}
	d, err := kit.Resolve(cmd.Context(), kit.TagOrDigest())
	if err != nil {
		return nil, fmt.Errorf("boot kit %s: %w", reference, err)
	}
	return &api.Bootkit{Repository: kit.Reference.Repository, Digest: d.Digest}, nil
}

func newRender(g *globals) *cobra.Command {
	var flags renderFlags
	local := here{renderFlags: &flags}
	var noWait, forced, verify bool
	var subject string
	var names []string
	for _, f := range converter.Formats() {
		names = append(names, f.Name)
	}
	cmd := &cobra.Command{
		Use:   "render IMAGE",
		Short: "Render an image into a format, in its registry or here",
		Long: `Render an image into a format, in its registry. The result is a derived
artifact beside the image; what is printed is its digest. It occupies next to no
space, because it refers to the image's own bytes.

A disk boots alone. For machines that load a kernel themselves there are, as
--type, filesystem, kernel and ramdisk, each with the command line for the
kernel; for what starts a system from a shell (containers, systemd-nspawn, LXC,
WSL) there is --format tar. The image's entry points say which of these will do,
and what they require.

With --persistent-disk the persistent paths of the image are mounted from a
second disk. That one is rendered with --type persistent, once, and outlives the
first.

A disk or a filesystem that was pushed goes into any format that holds disks, as it
is; --size may be more than it has.

With --parent the output holds only what differs from another disk: one that was
pushed, or the output of another render, in the same repository. Of an image that
is a root filesystem it is what the same options give without a configuration.

With -o the output is also written to a file, or to a directory where it has
several.

An image that is no reference — a directory, a tar, the file of a disk — is
rendered on this machine, and so is one in a registry that does not render, or not
for you, or with --here. The bytes are the same. Nothing is stored but what -o
names, so that a configuration may hold secrets, and --manifest and --env are
possible.

With --push the derived artifact is in a registry afterwards, whatever that can do:
where none renders the image, it is rendered here and pushed beside the image. It
is the same artifact, with the same digest, as a registry that renders makes.
--push=REPOSITORY[:TAG] pushes to another repository, of any registry.

With --verify a derived artifact, or each one of an image, is rendered again on this
machine from what it says of itself, and compared. The exit code is 1 where a file,
or what the manifest says of it, differs. The image is looked for in the same
repository, or in that of --subject, and a boot kit likewise, or in that of --bootkit.

` + imageHelp,
		Example: `  cloudlets render localhost:5000/golden/debian:12 --format qcow2 -o debian.qcow2
  cloudlets render localhost:5000/golden/debian:12 --format raw --size 20G
  cloudlets render disk.vmdk --format vhdx -o disk.vhdx`,
		Args: exactly("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := local.checkPush(args[0], verify); err != nil {
				return err
			}
			if subject != "" && !verify {
				return usageError{errors.New("--subject says where the image is for --verify: add that")}
			}
			if verify {
				return verifyRender(g, cmd, args[0], subject, flags.bootkit)
			}
			elsewhere := local.push != "" && local.push != pushBeside
			if forced || elsewhere || isHere(args[0]) {
				return local.run(g, cmd, args[0])
			}
			if local.setup.given() {
				return usageError{errors.New("--manifest and --env are for what is rendered on this machine: add --here")}
			}
			if local.disk.given() {
				return usageError{errors.New("--part and --max-size are for the file of a disk on this machine")}
			}
			err := flags.renderThere(g, cmd, args[0], local.format, local.output, !noWait)
			if errors.Is(err, client.ErrNoRenderer) && (local.output != "" || local.push != "") {
				return local.run(g, cmd, args[0])
			}
			return err
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&local.format, "format", "qcow2", "one of "+strings.Join(names, ", "))
	flags.registerType(cmd)
	cmd.Flags().StringVar(&flags.parent, "parent", "", "write only what differs from the disk of this image, `REFERENCE@DIGEST`, which the output names by its digest: as qcow2, vhd or vhdx")
	cmd.Flags().StringVarP(&local.output, "output", "o", "", "file to write the output to, or - for the standard output; a directory for several files")
	local.setup.registerWithoutConfig(cmd)
	local.disk.registerDisk(cmd)
	cmd.Flags().BoolVar(&forced, "here", false, "render on this machine, whatever the registry can do")
	cmd.Flags().StringVar(&local.push, "push", "", "push the derived artifact where the registry does not render: beside the image, or to another `REPOSITORY[:TAG]`, of any registry")
	cmd.Flags().Lookup("push").NoOptDefVal = pushBeside
	cmd.Flags().BoolVar(&verify, "verify", false, "render a derived artifact again on this machine, or all of an image, and compare")
	cmd.Flags().StringVar(&subject, "subject", "", "`REPOSITORY` that the image is in, where --verify does not find it beside the derived artifact")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "print where the output can be read and do not wait for its digest")
	return cmd
}

// renderThere has the registry of an image render it.
func (f *renderFlags) renderThere(g *globals, cmd *cobra.Command, name, format, output string, wait bool) error {
	repo, err := g.repository(cmd, name)
	if err != nil {
		return err
	}
	req, err := f.request(cmd, g, repo, format)
	if err != nil {
		return err
	}
	render, err := repo.Render(cmd.Context(), req)
	if err != nil {
		return err
	}
	tell(cmd, render.CommandLine, render.Notes)
	if wait || output != "" {
		if render, err = repo.WaitRender(cmd.Context(), render); err != nil {
			return err
		}
	}
	if output != "" {
		if err := saveRender(cmd.Context(), repo, render.Files, output); err != nil {
			return err
		}
	}
	return printRender(g, besides(cmd, output), render)
}

// tell says what a kernel is started with, and what a person should know of a
// render.
func tell(cmd *cobra.Command, commandLine string, notes []string) {
	if commandLine != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "kernel command line:", commandLine)
	}
	for _, note := range notes {
		fmt.Fprintln(cmd.ErrOrStderr(), "note:", note)
	}
}

// tellRendered is tell of what was rendered here.
func tellRendered(cmd *cobra.Command, r client.Rendered) {
	tellUnused(cmd, r.Unused)
	tell(cmd, r.Report.CommandLine, r.Notes)
}

func printRender(g *globals, cmd *cobra.Command, render api.Render) error {
	return g.print(cmd, render, func(w io.Writer) {
		if render.State == api.RenderDone {
			fmt.Fprintln(w, render.Artifact)
			return
		}
		fmt.Fprintln(w, render.Content)
	})
}

// pullFile writes a file of a render in a registry.
func pullFile(ctx context.Context, repo *client.Repository, file api.RenderFile, w io.Writer) error {
	return repo.PullBlob(ctx, client.Descriptor("", file.Blob, file.Size), w)
}

// besides returns the command with its result on stderr where the standard
// output is taken by the file that is asked for.
func besides(cmd *cobra.Command, output string) *cobra.Command {
	if output == "-" {
		cmd.SetOut(cmd.ErrOrStderr())
	}
	return cmd
}

// saveFile writes a file that appears whole or not at all, with holes for what
// is zero. "-" is the standard output; a device or a pipe is written as it is.
func saveFile(path string, fill func(io.Writer) error) (err error) {
	if path == "-" {
		return fill(os.Stdout)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return writeDevice(path, fill)
	}
	f, err := client.CreateSparse(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := fill(f); err != nil {
		return err
	}
	return f.Commit()
}

// writeDevice writes to what is not a regular file.
func writeDevice(path string, fill func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(fill(f), f.Close())
}
