package bundle

import "encoding/xml"

// xmlConfiguration is what machine the image is for. Lists are pointers because
// encoding/xml writes the parent of an empty list.
type xmlConfiguration struct {
	XMLName      xml.Name     `xml:"machine_configuration"`
	Architecture string       `xml:"architecture"`
	KernelID     string       `xml:"kernel_id,omitempty"`
	RamdiskID    string       `xml:"ramdisk_id,omitempty"`
	Mappings     *xmlMappings `xml:"block_device_mapping"`
	ProductCodes *xmlCodes    `xml:"product_codes"`

	// The reader of euca2ools looks for these, although no writer is known.
	EucaMappings     *xmlMappings `xml:"block_device_mappings"`
	EucaProductCodes *xmlCodes    `xml:"productcodes"`
}

type xmlMappings struct {
	Mappings     []xmlMapping `xml:"mapping"`
	EucaMappings []xmlMapping `xml:"block_device_mapping"`
}

type xmlMapping struct {
	Virtual string `xml:"virtual"`
	Device  string `xml:"device"`
}

type xmlCodes struct {
	Codes []string `xml:"product_code"`
}

// xmlImage is the image and its parts. Sizes are text, so that a wrong one is
// named in the error.
type xmlImage struct {
	XMLName     xml.Name     `xml:"image"`
	Name        string       `xml:"name"`
	User        string       `xml:"user"`
	Type        string       `xml:"type"`
	Digest      xmlValue     `xml:"digest"`
	Size        string       `xml:"size"`
	BundledSize string       `xml:"bundled_size"`
	CloudKey    xmlValue     `xml:"ec2_encrypted_key"`
	UserKey     xmlValue     `xml:"user_encrypted_key"`
	CloudIV     string       `xml:"ec2_encrypted_iv"`
	UserIV      string       `xml:"user_encrypted_iv"`
	Parts       xmlParts     `xml:"parts"`
	Ancestry    *xmlAncestry `xml:"ancestry"`
}

type xmlAncestry struct {
	Ancestors []string `xml:"ancestor_ami_id"`
}

// xmlValue is text that an algorithm made.
type xmlValue struct {
	Algorithm string `xml:"algorithm,attr"`
	Text      string `xml:",chardata"`
}

type xmlParts struct {
	Count int       `xml:"count,attr"`
	Parts []xmlPart `xml:"part"`
}

type xmlPart struct {
	Index    int      `xml:"index,attr"`
	Filename string   `xml:"filename"`
	Digest   xmlValue `xml:"digest"`
}

type xmlBundler struct {
	XMLName xml.Name `xml:"bundler"`
	Name    string   `xml:"name"`
	Version string   `xml:"version"`
	Release string   `xml:"release"`
}
