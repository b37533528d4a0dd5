package api

import "testing"

func TestCheckMonth(t *testing.T) {
	for month, good := range map[string]bool{
		"": true, "2026-11": true, "2026-1": false, "2026-13": false, "november": false, "2026-11-01": false, "2026-11 ": false,
	} {
		if err := checkMonth(month); (err == nil) != good {
			t.Errorf("%q: %v", month, err)
		}
	}
}
