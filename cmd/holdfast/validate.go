package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

const validateHelp = `Checks a configuration: one folder, or files that make one configuration together.
Prints every problem on a line of its own, with file, line and column. Nothing is
applied.

Exit codes: 0 it is valid, 1 it is not, 2 the command was not understood.`

func newValidate(env *environment) *cobra.Command {
	var schema bool
	cmd := &cobra.Command{
		Use: "validate DIR | FILE…", Short: "Check a configuration", Long: validateHelp,
		Args: usageArgs(func(_ *cobra.Command, args []string) error {
			if schema == (len(args) > 0) {
				return errors.New("give one folder, or files, or --schema alone")
			}
			return nil
		}),
		RunE: func(_ *cobra.Command, args []string) error {
			if schema {
				return printSchema(env.Stdout)
			}
			return validate(env, args)
		},
	}
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON schema of configuration files instead")
	return cmd
}

func printSchema(to io.Writer) error {
	text, err := config.JSONSchema()
	if err != nil {
		return fmt.Errorf("making the schema: %w", err)
	}
	say(to, "%s\n", text)
	return nil
}

func validate(env *environment, paths []string) error {
	cfg, err := loadConfig(paths)
	if err == nil {
		say(env.Stdout, "valid: %s, %s\n", counted(len(cfg.Servers), "server"), counted(len(cfg.Routes), "route"))
		return nil
	}
	var problems config.Problems
	if !errors.As(err, &problems) {
		return err
	}
	for _, problem := range problems {
		say(env.Stdout, "%v\n", problem)
	}
	say(env.Stderr, "not valid: %s\n", counted(len(problems), "problem"))
	return errSilent
}

// maxConfigFile is the most that a configuration file may hold, in bytes.
const maxConfigFile = 1 << 20

// loadConfig loads one folder, or the given files as one configuration.
func loadConfig(paths []string) (*config.Config, error) {
	var files []config.File
	for _, path := range paths {
		info, err := os.Stat(path) //nolint:gosec // the operator names it
		if err != nil {
			return nil, fmt.Errorf("reading the configuration: %w", err)
		}
		if info.IsDir() {
			if len(paths) > 1 {
				return nil, usagef("a folder is a whole configuration: give one folder, or files")
			}
			return config.Load(path) //nolint:wrapcheck // the problems say what and where
		}
		data, err := readBounded(path)
		if err != nil {
			return nil, err
		}
		files = append(files, config.File{Name: path, Data: data})
	}
	return config.Parse(files) //nolint:wrapcheck // the problems say what and where
}

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the operator's path
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(file, maxConfigFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if len(data) > maxConfigFile {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxConfigFile)
	}
	return data, nil
}
