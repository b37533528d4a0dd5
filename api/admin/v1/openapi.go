package adminv1

import _ "embed"

//go:embed admin.swagger.json
var openAPI string

// OpenAPI describes the service Admin as JSON over HTTP, in OpenAPI 2.0; generated from admin.proto.
func OpenAPI() string { return openAPI }
