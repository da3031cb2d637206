// Package common stands in for a part of a cloud vendor's SDK; see ../tencent-vpc.
package common

// StringPtr returns a pointer to its argument.
func StringPtr(v string) *string { return &v }

// StringPtrs returns pointers to the elements of its argument.
func StringPtrs(vs []string) []*string {
	pointers := make([]*string, len(vs))
	for i := range vs {
		pointers[i] = &vs[i]
	}
	return pointers
}

// BoolPtr returns a pointer to its argument.
func BoolPtr(v bool) *bool { return &v }
