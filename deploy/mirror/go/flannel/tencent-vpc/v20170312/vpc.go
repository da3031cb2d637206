// Package v20170312 stands in for a cloud vendor's SDK that the Go module proxy does not carry. flannel imports it for
// one backend ("tencent-vpc"), which here refuses to start; all its other backends are upstream's.
package v20170312

import "errors"

var errNotBuilt = errors.New("the tencent-vpc backend is not part of this build of flannel")

// Filter selects route tables.
type Filter struct {
	Name   *string
	Values []*string
}

// Route is one line of a route table.
type Route struct {
	RouteId              *uint64
	DestinationCidrBlock *string
	GatewayType          *string
	GatewayId            *string
	RouteType            *string
	Enabled              *bool
}

// RouteTable is a route table.
type RouteTable struct {
	RouteTableId *string
	RouteSet     []*Route
}

// DescribeRouteTablesRequest asks for route tables.
type DescribeRouteTablesRequest struct{ Filters []*Filter }

// DescribeRouteTablesResponse holds route tables.
type DescribeRouteTablesResponse struct {
	Response *struct{ RouteTableSet []*RouteTable }
}

// DeleteRoutesRequest names routes to delete.
type DeleteRoutesRequest struct {
	RouteTableId *string
	Routes       []*Route
}

// CreateRoutesRequest names routes to create.
type CreateRoutesRequest struct {
	RouteTableId *string
	Routes       []*Route
}

// Client refuses everything.
type Client struct{}

// NewClientWithSecretId returns a client that refuses everything.
func NewClientWithSecretId(_, _, _ string) (*Client, error) { return &Client{}, nil }

// NewDescribeRouteTablesRequest returns an empty request.
func NewDescribeRouteTablesRequest() *DescribeRouteTablesRequest { return &DescribeRouteTablesRequest{} }

// NewDeleteRoutesRequest returns an empty request.
func NewDeleteRoutesRequest() *DeleteRoutesRequest { return &DeleteRoutesRequest{} }

// NewCreateRoutesRequest returns an empty request.
func NewCreateRoutesRequest() *CreateRoutesRequest { return &CreateRoutesRequest{} }

// DescribeRouteTables refuses.
func (*Client) DescribeRouteTables(*DescribeRouteTablesRequest) (*DescribeRouteTablesResponse, error) {
	return nil, errNotBuilt
}

// DeleteRoutes refuses.
func (*Client) DeleteRoutes(*DeleteRoutesRequest) (any, error) { return nil, errNotBuilt }

// CreateRoutes refuses.
func (*Client) CreateRoutes(*CreateRoutesRequest) (any, error) { return nil, errNotBuilt }
