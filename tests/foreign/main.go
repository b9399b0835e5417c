// Reads a copied log with tools that nobody of this project wrote, and says what they say.
//
//	foreign DIRECTORY < question.json
//
// fsck is Tessera's; notes are opened and proofs from tiles are made and checked by golang.org/x/mod/sumdb; cosignatures
// and our own proofs are checked by transparency-dev's formats and merkle.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type inclusion struct {
	Index    uint64   `json:"index"`
	LeafHash string   `json:"leaf_hash"`
	Proof    []string `json:"proof"`
}

type consistency struct {
	Checkpoint string   `json:"checkpoint"` // the older one, a whole note
	Proof      []string `json:"proof"`
}

type question struct {
	Origin        string        `json:"origin"`
	LogKey        string        `json:"log_vkey"`
	WitnessKey    string        `json:"witness_vkey"` // empty: the log has no witness
	Inclusions    []inclusion   `json:"inclusions"`
	Consistencies []consistency `json:"consistencies"`
}

func main() {
	var asked question
	err := json.NewDecoder(os.Stdin).Decode(&asked)
	if err == nil {
		err = check(os.Args[1], asked)
	}
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
}

func check(root string, asked question) error {
	verifier, err := note.NewVerifier(asked.LogKey)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(root, "checkpoint"))
	if err != nil {
		return err
	}
	now, err := openCheckpoint(raw, asked, verifier)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	fmt.Printf("checkpoint: %s, %d entries\n", now.Origin, now.Size)
	if now.Size > 0 { // fsck and proofs have nothing to read in an empty log
		files := client.FileFetcher{Root: root}
		if err := fsck.New(asked.Origin, verifier, files, hashBundle, fsck.Opts{N: 2}).Check(context.Background()); err != nil {
			return fmt.Errorf("fsck: %w", err)
		}
		fmt.Println("fsck: passed")
	}
	tree := tlog.Tree{N: int64(now.Size), Hash: tlog.Hash(now.Hash)}
	hashes := tlog.TileHashReader(tree, tiles{root})
	for _, each := range asked.Inclusions {
		if err := checkInclusion(each, now, hashes); err != nil {
			return fmt.Errorf("inclusion of %d: %w", each.Index, err)
		}
	}
	for _, each := range asked.Consistencies {
		older, err := openCheckpoint([]byte(each.Checkpoint), asked, verifier)
		if err != nil {
			return fmt.Errorf("older checkpoint: %w", err)
		}
		if err := checkConsistency(older, now, each.Proof, hashes); err != nil {
			return fmt.Errorf("consistency from %d: %w", older.Size, err)
		}
	}
	fmt.Printf("proofs: %d inclusions, %d consistencies\n", len(asked.Inclusions), len(asked.Consistencies))
	return nil
}

// openCheckpoint wants the log's signature and, where a witness is named, its cosignature.
func openCheckpoint(raw []byte, asked question, verifier note.Verifier) (*log.Checkpoint, error) {
	var others []note.Verifier
	if asked.WitnessKey != "" {
		witness, err := fnote.NewVerifierForCosignatureV1(asked.WitnessKey)
		if err != nil {
			return nil, err
		}
		others = append(others, witness)
	}
	found, _, opened, err := log.ParseCheckpoint(raw, asked.Origin, verifier, others...)
	if err != nil {
		return nil, err
	}
	if want := 1 + len(others); len(opened.Sigs) != want {
		return nil, fmt.Errorf("%d signatures hold, not %d", len(opened.Sigs), want)
	}
	return found, nil
}

func checkInclusion(each inclusion, now *log.Checkpoint, hashes tlog.HashReader) error {
	leaf, err := hex.DecodeString(each.LeafHash)
	if err != nil {
		return err
	}
	ours, err := decode(each.Proof)
	if err != nil {
		return err
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, each.Index, now.Size, leaf, ours, now.Hash); err != nil {
		return err
	}
	theirs, err := tlog.ProveRecord(int64(now.Size), int64(each.Index), hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(theirs, int64(now.Size), tlog.Hash(now.Hash), int64(each.Index), tlog.Hash(leaf)); err != nil {
		return err
	}
	return same(ours, theirs)
}

func checkConsistency(older, now *log.Checkpoint, told []string, hashes tlog.HashReader) error {
	ours, err := decode(told)
	if err != nil {
		return err
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, older.Size, now.Size, ours, older.Hash, now.Hash); err != nil {
		return err
	}
	if older.Size == 0 { // sumdb knows no empty tree
		return nil
	}
	theirs, err := tlog.ProveTree(int64(now.Size), int64(older.Size), hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(theirs, int64(now.Size), tlog.Hash(now.Hash), int64(older.Size), tlog.Hash(older.Hash)); err != nil {
		return err
	}
	return same(ours, theirs)
}

func decode(told []string) ([][]byte, error) {
	found := make([][]byte, len(told))
	for place, text := range told {
		hash, err := hex.DecodeString(text)
		if err != nil {
			return nil, err
		}
		found[place] = hash
	}
	return found, nil
}

func same(ours [][]byte, theirs []tlog.Hash) error {
	if len(ours) != len(theirs) {
		return fmt.Errorf("our proof has %d hashes, theirs %d", len(ours), len(theirs))
	}
	for place := range theirs {
		if !bytes.Equal(ours[place], theirs[place][:]) {
			return fmt.Errorf("hash %d of our proof is not theirs", place)
		}
	}
	return nil
}

// hashBundle reads entries behind lengths of two bytes, as tlog-tiles has them.
func hashBundle(bundle []byte) ([][]byte, error) {
	var found [][]byte
	for len(bundle) > 0 {
		if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
			return nil, errors.New("a bundle ends within an entry")
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		found = append(found, rfc6962.DefaultHasher.HashLeaf(bundle[2:end]))
		bundle = bundle[end:]
	}
	return found, nil
}

// tiles reads for sumdb, whose paths name the height of a tile, too.
type tiles struct{ root string }

func (tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(wanted))
	for place, tile := range wanted {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(t.root, filepath.FromSlash(path)))
		if err != nil {
			return nil, err
		}
		found[place] = data
	}
	return found, nil
}

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}
