package metadata

import "database/sql"

// Pools returns the store's connections by what they are for, to be watched and
// not used.
func (s *Store) Pools() map[string]*sql.DB {
	if s.reader == s.writer {
		return map[string]*sql.DB{"metadata": s.writer.db}
	}
	return map[string]*sql.DB{"metadata_reader": s.reader.db, "metadata_writer": s.writer.db}
}
