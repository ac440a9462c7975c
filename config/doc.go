// Package config is what an operator can set of the server.
//
// What enters: a YAML file, environment variables and flags. What leaves: a
// [Config] in which every value was checked. A flag wins over the environment,
// the environment over the file, the file over the default.
//
// The struct is the only place where a key is written down: its tags give the
// key's name, default, help and whether it can change while the server runs.
// The flags, the variables, the JSON schema, the commented example and the table
// of the manual are made from them.
package config
