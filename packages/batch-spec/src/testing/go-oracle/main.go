// Renders templates with Go's text/template, so that Airlock's engine can be compared with it.
//
// Reads {"variables": {NAME: VALUE}, "templates": [TEXT]} and writes a list with a text, or null for an error, for each
// template. A VALUE is an object with one member, which names the type: {"string": "x"}, {"int": 3}, {"float": 3},
// {"bool": true}, {"nil": null}, {"strings": ["a"]}, {"bare": ["a"]}, {"list": [VALUE]} or {"map": {NAME: VALUE}}.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
	"time"
)

// bareList is a list that prints without brackets.
type bareList []string

func (list bareList) String() string { return strings.Join(list, " ") }

type taggedValue map[string]json.RawMessage

func (tagged taggedValue) value() any {
	for kind, raw := range tagged {
		switch kind {
		case "string":
			return decode[string](raw)
		case "int":
			return decode[int](raw)
		case "float":
			return decode[float64](raw)
		case "bool":
			return decode[bool](raw)
		case "strings":
			return decode[[]string](raw)
		case "bare":
			return bareList(decode[[]string](raw))
		case "list":
			list := []any{}
			for _, item := range decode[[]taggedValue](raw) {
				list = append(list, item.value())
			}
			return list
		case "map":
			entries := map[string]any{}
			for name, item := range decode[map[string]taggedValue](raw) {
				entries[name] = item.value()
			}
			return entries
		}
	}
	return nil
}

func decode[T any](raw json.RawMessage) T {
	var value T
	if err := json.Unmarshal(raw, &value); err != nil {
		panic(err)
	}
	return value
}

func joinIf(separator string, parts ...string) string {
	kept := []string{}
	for _, part := range parts {
		if part != "" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, separator)
}

// limitedWriter ends templates that write too much.
type limitedWriter struct{ strings.Builder }

func (writer *limitedWriter) Write(bytes []byte) (int, error) {
	if writer.Len()+len(bytes) > 1<<20 {
		return 0, fmt.Errorf("too long")
	}
	return writer.Builder.Write(bytes)
}

func render(text string, variables map[string]taggedValue) *string {
	functions := template.FuncMap{
		"join":    strings.Join,
		"split":   strings.Split,
		"replace": strings.ReplaceAll,
		"join_if": joinIf,
	}
	for name, tagged := range variables {
		value := tagged.value()
		functions[name] = func() any { return value }
		switch typed := value.(type) {
		case map[string]any:
			functions[name] = func() map[string]any { return typed }
		case string:
			functions[name] = func() string { return typed }
		}
	}
	parsed, err := template.New("").Delims("${{", "}}").Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return nil
	}
	var output limitedWriter
	if err := parsed.Execute(&output, nil); err != nil {
		return nil
	}
	result := output.String()
	return &result
}

func main() {
	time.AfterFunc(time.Minute, func() { os.Exit(3) })
	var input struct {
		Variables map[string]taggedValue
		Templates []string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil {
		panic(err)
	}
	results := []*string{}
	for _, text := range input.Templates {
		results = append(results, render(text, input.Variables))
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(results); err != nil {
		panic(err)
	}
}
