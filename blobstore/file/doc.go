// Package file keeps objects as files below one directory.
//
//	uploads/<ulid>                                  an object being written
//	objects/<yyyymmdd>/<ulid>.<kind>.<algorithm>-<hex>   a sealed object
//
// The name of a sealed object is its label, so the index of a store can be
// rebuilt from names alone. Sealing is fsync of the file, one rename, and fsync
// of the directory; after it the file never changes.
package file
