package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/converter/bundle"
	"github.com/cloudlets/cloudlets/image/kind"
)

func newBundle(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Read and write the classic AMI bundles of EC2 and Eucalyptus",
		Long: `Read and write the classic AMI bundles of EC2 and Eucalyptus: a manifest, and an
image in encrypted parts. The image is a kernel (aki), a ramdisk (ari) or a root
filesystem (ami).`,
	}
	cmd.AddCommand(newBundleImport(g), newBundleExport(g))
	return cmd
}

// eucaNames are what flags are called in euca2ools and ec2-ami-tools.
func eucaNames(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	switch name {
	case "privatekey":
		name = "key"
	case "destination":
		name = "output"
	}
	return pflag.NormalizedName(name)
}

func newBundleImport(g *globals) *cobra.Command {
	var files client.BundleFiles
	var output string
	cmd := &cobra.Command{
		Use:   "import MANIFEST",
		Short: "Write the image of an AMI bundle to a file",
		Long: `Write the image of an AMI bundle to a file, as euca-unbundle does, and say what it
is. The signature of the manifest, the digest of each part and that of the image
are verified; the file appears only if all are right.

The signature is verified with --cert, or else with the public half of --key,
which is the signer's where you made the bundle. A manifest that is not signed is
taken only without --cert, and said to be so.

The result can be pushed: as a kernel with --container-format aki, a ramdisk with
ari, a filesystem with ami.`,
		Example: `  cloudlets bundle import image.manifest.xml --key pk.pem --cert cert.pem -o image.raw
  cloudlets push image.raw localhost:5000/images/debian:12 --container-format ami`,
		Args: exactly("MANIFEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			files.Manifest = args[0]
			return importBundle(g, cmd, files, output)
		},
	}
	flags := cmd.Flags()
	flags.SetNormalizeFunc(eucaNames)
	flags.StringVarP(&files.Key, "key", "k", "", "file of the RSA private key in PEM that the bundle is encrypted to")
	flags.StringVarP(&files.Cert, "cert", "c", "", "file of the certificate in PEM of who signed the bundle")
	flags.StringVarP(&files.Source, "source", "s", "", "directory with the parts (default: that of the manifest)")
	flags.StringVarP(&output, "output", "o", "", "file to write the image to, or - for the standard output")
	require(cmd, "key", "output")
	return cmd
}

// require marks flags that a command cannot do without.
func require(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // There is such a flag.
		}
	}
}

func importBundle(g *globals, cmd *cobra.Command, files client.BundleFiles, output string) (err error) {
	c, err := g.client(cmd)
	if err != nil {
		return err
	}
	b, err := c.OpenBundle(cmd.Context(), files)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if !b.Verified {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", b.Unverified)
	}
	if err := saveFile(output, func(w io.Writer) error { _, err := io.Copy(w, b); return err }); err != nil {
		return err
	}
	return g.print(besides(cmd, output), b.Unbundled, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s %s, %d bytes\n", b.Name, b.Architecture, b.Type, b.Size)
	})
}

// exportFlags are the flags of bundle export.
type exportFlags struct {
	render renderFlags
	image  here // rendered as render says

	key, cert, cloud, output string
	devices                  map[string]string
	options                  bundle.Options
}

func newBundleExport(g *globals) *cobra.Command {
	var flags exportFlags
	flags.image = here{renderFlags: &flags.render, format: "raw"}
	cmd := &cobra.Command{
		Use:   "export FILE|IMAGE",
		Short: "Write an AMI bundle of a file or an image",
		Long: `Write an AMI bundle, as euca-bundle-image does: DIR/PREFIX.manifest.xml and the
parts DIR/PREFIX.part.00, .01, …

FILE is a kernel, a ramdisk, a filesystem or a raw disk, which its content tells
apart. An IMAGE is rendered first, into its root filesystem, or with --type into
its kernel or ramdisk, on this machine.

The bundle is encrypted to --cert, which lets its owner read it, and to --ec2cert,
which lets the cloud; without --ec2cert no cloud can start it. It is signed with
--key; without one it is not.

What it is encrypted with is derived from --key and the image, so that the same
bundle comes out each time: who sees two bundles sees whether they hold the same
image, and nothing else. Without --key it is random.

` + imageHelp,
		Example: `  cloudlets bundle export localhost:5000/golden/debian:12 --cert cert.pem --key pk.pem --ec2cert cloud-cert.pem --user 123456789012 -o bundle
  cloudlets bundle export vmlinuz --cert cert.pem --key pk.pem --user 123456789012 -o bundle`,
		Args: exactly("FILE|IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error { return flags.run(g, cmd, args[0]) },
	}
	g.registerServer(cmd.PersistentFlags())
	flags.register(cmd)
	return cmd
}

func (f *exportFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SetNormalizeFunc(eucaNames)
	f.render.register(cmd)
	f.image.setup.registerWithoutConfig(cmd)
	flags.StringVar(&f.render.outputType, "type", converter.TypeFilesystem, "what of an IMAGE is bundled: filesystem, kernel or ramdisk")
	flags.StringVarP(&f.key, "key", "k", "", "file of the user's RSA private key in PEM, to sign with")
	flags.StringVarP(&f.cert, "cert", "c", "", "file of the user's certificate in PEM")
	flags.StringVar(&f.cloud, "ec2cert", "", "file of the cloud's certificate in PEM")
	flags.StringVarP(&f.options.User, "user", "u", "", "account of the user, a number without dashes")
	flags.StringVarP(&f.options.Architecture, "arch", "r", "x86_64", "architecture of the image, in EC2's words")
	flags.StringVarP(&f.options.Prefix, "prefix", "p", "", "prefix of the names of files (default: the name of the file, or the type of what is rendered)")
	flags.StringVar(&f.options.KernelID, "kernel", "", "ID of the kernel image to boot with, aki-… or eki-…")
	flags.StringVar(&f.options.RamdiskID, "ramdisk", "", "ID of the ramdisk image to boot with, ari-… or eri-…")
	flags.StringToStringVarP(&f.devices, "block-device-mapping", "B", nil, "VIRTUAL=DEVICE to give an instance, such as ami=sda1; may be repeated")
	flags.StringSliceVar(&f.options.ProductCodes, "productcodes", nil, "product codes")
	flags.Int64Var(&f.options.PartSize, "part-size", bundle.DefaultPartSize, "bytes of a part")
	flags.StringVarP(&f.output, "output", "o", "", "directory to write to")
	require(cmd, "cert", "user", "output")
}

// run bundles what name names.
func (f *exportFlags) run(g *globals, cmd *cobra.Command, name string) (err error) {
	if err := f.readKeys(cmd); err != nil {
		return err
	}
	c, err := g.client(cmd)
	if err != nil {
		return err
	}
	file, err := c.OpenFile(cmd.Context(), name, cmd.InOrStdin(), client.FileOptions{Verbatim: true})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if file == nil { // It is a rootfs, or a reference.
		return f.image.render(g, cmd, name, func(r client.Rendered) error { return f.exportImage(g, cmd, c, r) })
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if file.Kind.Container != kind.Raw {
		return fmt.Errorf("%s is %s: expected it raw, as a cloud would boot it", name, file.Kind)
	}
	f.options.Name, f.options.Type = filepath.Base(name), file.Kind.Type
	return f.export(g, cmd, c, file.Content())
}

// readKeys reads the files of keys and certificates.
func (f *exportFlags) readKeys(cmd *cobra.Command) (err error) {
	f.options.User = strings.ReplaceAll(f.options.User, "-", "")
	f.options.Version = version()
	f.options.BlockDevices = client.BlockDevices(f.devices)
	if f.options.Recipient, err = client.ReadCertificate(f.cert); err != nil {
		return err
	}
	if f.cloud == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "note: without --ec2cert no cloud can start this bundle")
	} else if f.options.Cloud, err = client.ReadCertificate(f.cloud); err != nil {
		return err
	}
	if f.key == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "note: without --key the bundle is not signed")
		return nil
	}
	f.options.Signer, err = client.ReadPrivateKey(f.key)
	return err
}

// exportImage bundles what an image was rendered into.
func (f *exportFlags) exportImage(g *globals, cmd *cobra.Command, c *client.Client, rendered client.Rendered) error {
	tellRendered(cmd, rendered)
	f.options.Name, f.options.Type = f.render.outputType, kind.Type(f.render.outputType)
	disk := rendered.Lazily(cmd.Context(), 0, f.image.cache, 0)
	disk.Fill()
	return errors.Join(f.export(g, cmd, c, disk), disk.Close())
}

func (f *exportFlags) export(g *globals, cmd *cobra.Command, c *client.Client, content client.BundleContent) error {
	m, err := c.ExportBundle(cmd.Context(), content, f.output, f.options)
	if err != nil {
		return err
	}
	result := exported{Manifest: filepath.Join(f.output, f.options.ManifestName()), Size: m.Size, BundledSize: m.BundledSize, Digest: m.Digest}
	for _, p := range m.Parts {
		result.Parts = append(result.Parts, filepath.Join(f.output, p.Name))
	}
	return g.print(cmd, result, func(w io.Writer) { fmt.Fprintln(w, result.Manifest) })
}

// exported is the result of bundle export.
type exported struct {
	Manifest    string   `json:"manifest"`
	Parts       []string `json:"parts"`
	Size        int64    `json:"size"`
	BundledSize int64    `json:"bundledSize"`
	Digest      string   `json:"digest"` // SHA-1 of the tar
}
