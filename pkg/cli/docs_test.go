package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// mentioned finds commands of the plugin, in blocks and in running text.
	mentioned = regexp.MustCompile("(?:^|[`$ ])kubectl myapp ([a-z][^`#\n]*)")
	targets   = regexp.MustCompile("(?m)(?:^\\$ |`)make ([a-z][-a-z ]*)")
	defined   = regexp.MustCompile(`(?m)^([a-z][-a-z]*):`)
)

// pages are all that people read, by file.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "test/multikind/offline/*.md", "deploy/charts/*/templates/NOTES.txt", "hack/*.sh"} {
		files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file) //nolint:gosec // of this repository
			if err != nil {
				t.Fatal(err)
			}
			found[file] = strings.ReplaceAll(string(text), "\\\n", " ")
		}
	}
	return found
}

// Every command of the plugin that people are told to use is one that it has, with flags
// that it has.
func TestDocsNameCommandsThatAre(t *testing.T) {
	checked := 0
	for file, text := range pages(t) {
		for line := range strings.Lines(text) {
			for _, match := range mentioned.FindAllStringSubmatch(line, -1) {
				checked++
				words := strings.Fields(match[1])
				cmd, rest, err := Command().Find(words)
				if err != nil || cmd == cmd.Root() {
					t.Errorf("%s: there is no kubectl myapp %s: %v", file, match[1], err)
					continue
				}
				for _, word := range rest {
					flag, _, _ := strings.Cut(strings.TrimRight(word, ".,:;)|"), "=")
					name, long := strings.CutPrefix(flag, "--")
					if !long || name == "" {
						continue
					}
					if cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
						t.Errorf("%s: %s has no flag --%s, as in: kubectl myapp %s", file, cmd.CommandPath(), name, match[1])
					}
				}
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d commands were found", checked)
	}
}

// Every target of make that people are told of is one that the Makefile has.
func TestDocsNameTargetsThatAre(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, match := range defined.FindAllStringSubmatch(string(makefile), -1) {
		has[match[1]] = true
	}
	for file, text := range pages(t) {
		for _, match := range targets.FindAllStringSubmatch(text, -1) {
			for _, target := range strings.Fields(match[1]) {
				if !has[target] {
					t.Errorf("%s: the Makefile has no target %s", file, target)
				}
			}
		}
	}
}
