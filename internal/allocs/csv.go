package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// units that are compared.
func units() []string { return []string{"B/op", "allocs/op"} }

// more reads what benchstat gives as CSV, and is an error where there is more than allowed. A table has a row of
// the files, one of the units, and one for each benchmark: its name, the value before, its
// range, the value now.
func more(table []byte) error {
	reader := csv.NewReader(bytes.NewReader(table))
	reader.FieldsPerRecord = -1
	unit, compared := "", 0
	var errs []error
	for {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the comparison: %w", err)
		}
		if len(row) > 1 && row[0] == "" && (slices.Contains(units(), row[1]) || row[1] == "sec/op") {
			unit = row[1]
			continue
		}
		if len(row) < 4 || row[0] == "" || row[0] == "geomean" || !slices.Contains(units(), unit) {
			continue
		}
		before, errBefore := strconv.ParseFloat(row[1], 64)
		now, errNow := strconv.ParseFloat(row[3], 64)
		if errBefore != nil || errNow != nil {
			// One of the two has no such benchmark.
			continue
		}
		compared++
		most := before * allowed
		if unit == "B/op" {
			most += slack
		}
		if now > most {
			errs = append(errs, fmt.Errorf("%s: %v %s, %v before: at most a fifth more is allowed", row[0], now, unit, before))
		}
	}
	if compared == 0 {
		errs = append(errs, errors.New("no benchmark is in both"))
	}
	return errors.Join(errs...)
}
