package cloudlet

// filler fills in the defaults of a schema. Defaults can have items with
// defaults of their own, so what it makes is bounded.
type filler struct {
	schema *argsSchema
	left   int // values that may still be looked at
}

// fill returns a value with the defaults of a schema where nothing is given. An
// object that is missing is made where its defaults give all that it must have.
func (f *filler) fill(schema, value any) any {
	o, ok := schema.(object)
	if !ok || !f.spend(1) {
		return value
	}
	if ref, ok := o["$ref"].(string); ok {
		if target, err := f.schema.resolve(ref); err == nil {
			value = f.fill(target, value)
		}
	}
	all, _ := o["allOf"].([]any)
	for _, sub := range all {
		value = f.fill(sub, value)
	}
	switch value := value.(type) {
	case object:
		f.fillObject(o, value)
	case []any:
		f.fillList(o, value)
	}
	return value
}

func (f *filler) spend(values int) bool {
	f.left = max(-1, f.left-values)
	return f.left >= 0
}

func (f *filler) fillObject(o, value object) {
	properties, _ := o["properties"].(object)
	for name, schema := range members(properties) {
		if given, ok := value[name]; ok {
			value[name] = f.fill(schema, given)
		} else if filled, ok := f.defaultOf(schema); ok {
			value[name] = filled
		}
	}
}

func (f *filler) fillList(o object, list []any) {
	prefix, _ := o["prefixItems"].([]any)
	for i := range list {
		if i < len(prefix) {
			list[i] = f.fill(prefix[i], list[i])
		} else {
			list[i] = f.fill(o["items"], list[i])
		}
	}
}

// defaultOf returns what a schema gives where there is nothing.
func (f *filler) defaultOf(schema any) (any, bool) {
	conjunction := f.schema.conjunction(schema)
	for _, o := range conjunction {
		if value, ok := o["default"]; ok {
			if !f.spend(countValues(value)) {
				return nil, false
			}
			return f.fill(schema, clone(value)), true
		}
	}
	made, ok := f.fill(schema, object{}).(object)
	if !ok || len(made) == 0 {
		return nil, false
	}
	for _, o := range conjunction {
		required, _ := o["required"].([]any)
		for _, name := range required {
			text, _ := name.(string)
			if _, ok := made[text]; !ok {
				return nil, false
			}
		}
	}
	return made, true
}

func countValues(value any) int {
	count := 1
	for _, v := range members(value) {
		count += countValues(v)
	}
	return count
}
