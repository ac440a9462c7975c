package metadata

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date. It refuses a database that a later
// version of the program has changed.
func migrate(ctx context.Context, db *sql.DB, d dialect) error {
	steps, err := loadMigrations(d)
	if err != nil {
		return fmt.Errorf("migrate metadata: %w", err)
	}
	p, err := goose.NewProvider(d.goose, db, nil, goose.WithGoMigrations(steps...), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrate metadata: %w", err)
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("migrate metadata: %w", err)
	}
	if have > want {
		return fmt.Errorf("migrate metadata: the database has schema %d, this program knows up to %d: use the newer program", have, want)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate metadata: %w", err)
	}
	return nil
}

// loadMigrations reads the embedded files, whose names begin with the version.
func loadMigrations(d dialect) ([]*goose.Migration, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	steps := make([]*goose.Migration, 0, len(names))
	for _, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		script, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		up := d.types.Replace(string(script))
		steps = append(steps, goose.NewGoMigration(version, &goose.GoFunc{
			RunTx: func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, up)
				return err
			},
		}, nil))
	}
	return steps, nil
}
