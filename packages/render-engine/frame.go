// Frames on the pipes. A JSON header says what the raw bytes after it are: file contents and manifests never pass
// through JSON strings.
//
//	request: u32 length | 16 bytes id              | u32 header length | header | raw bytes
//	reply:   u32 length | 16 bytes id | 32 sha-256 | u32 header length | header | raw bytes
//
// Numbers are big-endian; a length counts what follows it; the digest covers what follows it. The id is the request's.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
)

const (
	idBytes       = 16
	requestPrefix = idBytes + 4
	replyPrefix   = 4 + idBytes + sha256.Size + 4
	frameBytesMax = 1 << 30
)

func readFrame(from io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size < requestPrefix || size > frameBytesMax {
		return nil, errors.New("a frame of impossible length")
	}
	frame := make([]byte, size)
	_, err := io.ReadFull(from, frame)
	return frame, err
}

func splitRequest(frame []byte) (id, header, raw []byte, err error) {
	if len(frame) < requestPrefix {
		return nil, nil, nil, errors.New("a frame shorter than its prefix")
	}
	size := uint64(binary.BigEndian.Uint32(frame[idBytes:]))
	if size > uint64(len(frame)-requestPrefix) {
		return nil, nil, nil, errors.New("a header longer than its frame")
	}
	end := requestPrefix + int(size)
	return frame[:idBytes], frame[requestPrefix:end], frame[end:], nil
}

func replyFrame(id, header []byte, raw [][]byte) []byte {
	size := replyPrefix + len(header)
	for _, part := range raw {
		size += len(part)
	}
	frame := make([]byte, replyPrefix, size)
	binary.BigEndian.PutUint32(frame, uint32(size-4))
	copy(frame[4:], id)
	binary.BigEndian.PutUint32(frame[replyPrefix-4:], uint32(len(header)))
	frame = append(frame, header...)
	for _, part := range raw {
		frame = append(frame, part...)
	}
	digest := sha256.Sum256(frame[replyPrefix-4:])
	copy(frame[4+idBytes:], digest[:])
	return frame
}
