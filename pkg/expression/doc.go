// Package expression compiles and evaluates the CEL expressions that users write
// into specs: what is wrong is said with its line and column, and an evaluation has
// a budget of time and memory.
//
// It is pure, and knows no language: what an expression sees, and what a user is
// told to write instead, is the business of the package that has the variables.
//
// cel-go counts costs after each step, so a language must not have functions whose
// result is far larger than their arguments: cel-go's strings and lists are such
// (replace, join, format and lists.range). Steps of CEL itself, and of the API
// server's quantities, that can take long at once are refused before they are made
// (bounds.go).
package expression
