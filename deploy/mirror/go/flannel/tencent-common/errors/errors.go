// Package errors stands in for a part of a cloud vendor's SDK; see ../../tencent-vpc.
package errors

// TencentCloudSDKError is never made.
type TencentCloudSDKError struct{}

// Error returns nothing, as the error is never made.
func (*TencentCloudSDKError) Error() string { return "" }
