// Package apiclient speaks to the control plane's admin API (api/admin/v1) for the
// command line: it connects by HTTP, HTTPS or a unix socket, puts errors into words
// that say what to do, joins files into the documents of one call, follows a status
// across restarts, and tells from a status how far a revision has got.
package apiclient
