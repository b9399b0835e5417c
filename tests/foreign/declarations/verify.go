// Checks the signature of events of day.declared.v1 with Go's standard library alone: go run verify.go < vectors.json
//
// json.RawMessage has the bytes of data as they were sent.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type vector struct {
	PublicKey string `json:"public_key"`
	Event     string `json:"event"`
}

type event struct {
	Source    string          `json:"source"`
	Signature string          `json:"signature"`
	Revision  int64           `json:"revision"`
	Data      json.RawMessage `json:"data"`
}

type declaration struct {
	Day string `json:"day"`
}

func holds(each vector) bool {
	var sent event
	var said declaration
	if json.Unmarshal([]byte(each.Event), &sent) != nil || json.Unmarshal(sent.Data, &said) != nil {
		return false
	}
	data := bytes.Trim(sent.Data, " \t\r\n")
	uscc := strings.TrimPrefix(sent.Source, "urn:uscc:")
	statement := fmt.Sprintf("danbao declaration/v1\n%s\n%s\n%d\n%x\n", uscc, said.Day, sent.Revision, sha256.Sum256(data))
	key, _ := hex.DecodeString(each.PublicKey)
	_, encoded, _ := strings.Cut(sent.Signature, ":")
	signature, err := base64.StdEncoding.DecodeString(encoded)
	return err == nil && ed25519.Verify(key, []byte(statement), signature)
}

func main() {
	var vectors []vector
	if err := json.NewDecoder(os.Stdin).Decode(&vectors); err != nil {
		panic(err)
	}
	for _, each := range vectors {
		fmt.Println(holds(each))
	}
}
