package cloudlet

import "encoding/json"

// Part returns one part of the configuration (hostname, dns, ip, args) as
// canonical JSON with its secrets in clear, or nil where it is missing.
func (c *Configuration) Part(name string) (json.RawMessage, error) {
	value, ok := c.value[name]
	if !ok {
		return nil, nil
	}
	return marshal(value)
}

// SecretValues returns the secrets in the configuration, in clear, so that they
// can be kept out of messages: strings as they are, and other values as JSON.
func (c *Configuration) SecretValues() ([]string, error) {
	var values []string
	for _, keys := range c.secrets {
		secret, _ := lookup(c.value, keys)
		var err error
		if values, err = appendTexts(values, secret); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// appendTexts appends the texts in a value.
func appendTexts(texts []string, value any) ([]string, error) {
	switch value := value.(type) {
	case string:
		return append(texts, value), nil
	case object, []any:
		var err error
		for _, v := range members(value) {
			if texts, err = appendTexts(texts, v); err != nil {
				return nil, err
			}
		}
		return texts, nil
	}
	data, err := marshal(value)
	return append(texts, string(data)), err
}
