// Package s3 keeps objects in a bucket of an S3-compatible store.
//
//	objects/<yyyymmdd>/<id>-<id>                            the bytes of an object
//	labels/<yyyymmdd>/<id>-<id>.<kind>.<algorithm>-<hex>    empty; says that it is sealed, and what it is
//	store-id                                                tells one store from another
//
// The first id, a ULID, is the object's and says the day; the second one makes
// the key of every single upload unique. Bytes are written once, straight to
// where they stay, and never copied or read again: short objects with one
// request, long ones as the parts of a multipart upload. The label is written
// after the bytes, so an object without one is not sealed.
//
// What enters: bytes, in order, which are held in a bounded spool until they
// make a part. What leaves: the same bytes, by ranged reads that go through a
// bounded cache and run ahead of whoever reads in order; or as one stream.
//
// A [blobstore.Point] of an unsealed object names the multipart upload, its
// parts, and the pieces: what was written since the last part, where that is too
// short for a part, is kept as an object of its own. The last and only piece of
// a short object becomes the object.
//
// Two nodes that write one upload at the same time can make each other fail, by
// replacing a part, but never get bytes into what the other seals: a multipart
// upload is completed by the entity tags of the parts that the writer has sent.
//
// The interface is that of Amazon S3, API version 2006-03-01. Multipart uploads
// have at most 10,000 parts of at least 5 MiB, but for the last (Amazon S3 User
// Guide, "Amazon S3 multipart upload limits").
package s3
