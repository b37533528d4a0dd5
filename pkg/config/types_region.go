package config

// RegionLabels say of a region what its name does not.
type RegionLabels struct {
	// Jurisdiction whose law the region's data is under, such as in or eu: 1 to 63 of [a-z0-9-], starting and ending with a
	// letter or digit. Default: none, which no residency names.
	Jurisdiction string `yaml:"jurisdiction,omitempty" json:"jurisdiction,omitempty"`
	// Cost of a call there, in whatever unit, 0 to 1000000: only how regions compare counts. Default: none is known, which is
	// dearer than any other.
	Cost *int `yaml:"cost,omitempty" json:"cost,omitempty"`
}
