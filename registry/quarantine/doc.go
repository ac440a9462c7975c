// Package quarantine serves the part of the extension that tells which blobs of a
// repository are in quarantine.
//
// What enters: requests, and the metadata. What leaves: JSON, as package api says.
package quarantine
