package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The elements of a JUnit report that CI servers read.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Failure *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// junit writes a run as JUnit does, a suite for each file.
func junit(w io.Writer, a answer) error {
	var all junitSuites
	suite := func(name string) *junitSuite {
		for i := range all.Suites {
			if all.Suites[i].Name == name {
				return &all.Suites[i]
			}
		}
		all.Suites = append(all.Suites, junitSuite{Name: name})
		return &all.Suites[len(all.Suites)-1]
	}
	add := func(file string, c junitCase) {
		s := suite(file)
		s.Cases = append(s.Cases, c)
		s.Tests++
		all.Tests++
		if c.Failure != nil {
			s.Failures++
			all.Failures++
		}
	}
	for _, r := range a.Results {
		c := junitCase{Class: string(r.Kind), Name: fmt.Sprintf("%s:%d %s", r.File, r.Line, r.Name), File: r.File, Line: r.Line}
		if !r.Passed {
			c.Failure = &junitFailure{Message: r.Failures[0], Type: string(r.Kind), Text: strings.Join(r.Lines(), "\n")}
		}
		add(r.File, c)
	}
	for _, m := range a.Survivors {
		add("mutants", junitCase{Class: "mutant", Name: m.Change, File: "roles.csv", Failure: &junitFailure{Message: "no test notices", Type: "mutant", Text: m.Change}})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
