// Package s3test gives tests a real S3 server: versitygw over a directory. What
// enters: a test. What leaves: a bucket of its own, behind a proxy that counts
// and, where a test wants it, fails.
package s3test
