// Package limit counts what callers use and says when it is too much: sliding windows
// by rule and key, kept in this processor's memory or in a Redis that all processors share.
//
// A window is exact in one direction and all but exact in the other: a call is never
// refused while fewer than the limit have been admitted in the time before it, and
// never more than the limit and a thousandth of it are admitted in any such time. See window.
package limit
