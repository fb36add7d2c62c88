package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Claims are what a token of a ServiceAccount says of itself. Nobody has verified it:
// whoever reads it has the token from the API server that gave it.
type Claims struct {
	ID string `json:"jti"`
	// IssuedAt and Expires are seconds since 1970, by the clock of the API server.
	IssuedAt  int64    `json:"iat"`
	Expires   int64    `json:"exp"`
	Audiences []string `json:"aud"`
}

// ClaimsOf reads a token. With an error the Claims are empty.
func ClaimsOf(token string) (Claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Claims{}, errors.New("it has not the three parts of a JSON Web Token")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return Claims{}, fmt.Errorf("decoding its claims: %w", err)
	}
	var c Claims
	if err := json.Unmarshal(raw, &c); err != nil {
		return Claims{}, fmt.Errorf("reading its claims: %w", err)
	}
	return c, nil
}
