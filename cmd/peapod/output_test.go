package main

import (
	"encoding/json"
	"reflect"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestYAML(t *testing.T) {
	type inner struct {
		Z string `json:"z"`
		A []int  `json:"a"`
	}
	v := map[string]any{"one": inner{"true", []int{1, 2}}, "texts": []string{"", "null", "1", "1e3", "yes", "a: b", "x\ny\n", " s", "#", "é", "0x1", "~", "2026-03-01"},
		"none": []string{}, "nothing": map[string]string{}, "big": 12345678901234}
	text, err := toYAML(v)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := yaml.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	again, err := json.Marshal(got)
	data, _ := json.Marshal(v)
	var back any
	json.Unmarshal(again, &back)
	if json.Unmarshal(data, &want); err != nil || !reflect.DeepEqual(back, want) {
		t.Errorf("%s\nis %s\nwant %s", text, again, data)
	}
	one, _ := toYAML(inner{"z", []int{1}})
	if string(one) != "z: z\na:\n  - 1\n" {
		t.Errorf("the order of fields: %q", one)
	}
}
