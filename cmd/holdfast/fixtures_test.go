package main

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

func minutesAgo(n int) *timestamppb.Timestamp {
	return timestamppb.New(time.Now().Add(-time.Duration(n)*time.Minute - 10*time.Second))
}

const (
	newVersion12 = "1f3a9c0d5e7b8899aabb"
	oldVersion   = "00ff00ff00ff00ff00ff"
)

func revision12() *adminv1.Revision {
	return &adminv1.Revision{
		Number: 12, Version: newVersion12, Author: "akhil", Reason: "Delhi first", Time: minutesAgo(3),
		Changes: []string{"~ MCPServer/orders", "+ MCPRoute/shop"},
	}
}

// goodStatus has everybody in sync with revision 12.
func goodStatus() *adminv1.StatusResponse {
	synced := func(id, kind, region string, versions []string, types map[string]*adminv1.NodeType) *adminv1.Node {
		return &adminv1.Node{Id: id, Kind: kind, Region: region, Sync: "synced", Protocol: "delta", ConnectedSince: minutesAgo(300), Revisions: versions, Types: types}
	}
	return &adminv1.StatusResponse{
		Ready: true, ProgramVersion: "v1", Started: minutesAgo(500), Revision: revision12(),
		Rollout: &adminv1.Rollout{Version: newVersion12, Phase: "done", Since: minutesAgo(3), Active: newVersion12},
		Nodes: []*adminv1.Node{
			synced("envoy-mumbai-1", "envoy", "asia-south1", []string{newVersion12}, map[string]*adminv1.NodeType{
				"routes": {Acked: "99ab01cdef", Resources: 1}, "clusters": {Acked: "0102030405", Resources: 2}, "listeners": {Pending: true},
			}),
			synced("extproc-1", "extproc", "", nil, map[string]*adminv1.NodeType{"policies": {Acked: "abcdef0123"}}),
		},
		Servers: []*adminv1.Server{{Name: "orders", Regions: []*adminv1.Region{
			{Name: "asia-south1", Endpoints: []*adminv1.Endpoint{{Name: "primary-mumbai", Address: "127.0.0.1:7101"}}},
			{Name: "asia-south2", Endpoints: []*adminv1.Endpoint{{Name: "standby-delhi", Address: "127.0.0.1:7102"}}},
		}}},
		Routes: []*adminv1.Route{{Name: "shopmax", Path: "/mcp", Servers: []string{"orders"}, ToolRules: 3}},
	}
}

// badStatus has everything wrong at once, and a hostile node id.
func badStatus() *adminv1.StatusResponse {
	s := goodStatus()
	s.Refused = &adminv1.Refused{Error: "a.yaml:1:2: spec: first\na.yaml:3:4: spec: second\n", At: minutesAgo(60), Standing: true}
	s.Rejected = &adminv1.Rejected{Version: oldVersion, Node: "envoy-\x1b[31m", Type: "routes", Detail: "gone\n", At: minutesAgo(5), TakenBack: true}
	s.Problems = []string{"the state folder is full"}
	s.Pinned = []*adminv1.ResourceRef{{Kind: "MCPServer", Name: "orders"}}
	s.Rollout.Phase, s.Rollout.Next, s.Rollout.Canaries = "switch", "aabbccddeeff0011", []string{"envoy-2"}
	s.Rollout.HeldBy = []string{"envoy-3"}
	s.Nodes = append([]*adminv1.Node{
		{Id: "envoy-2", Kind: "envoy", Sync: "silent", SilentSince: minutesAgo(1), Late: true, ConnectedSince: minutesAgo(2), Revisions: []string{newVersion12, oldVersion}},
		{
			Id: "envoy-3", Kind: "envoy", Sync: "rejected", ConnectedSince: minutesAgo(2), Revisions: []string{oldVersion},
			Nack: &adminv1.Nack{Revision: newVersion12, Type: "routes", Detail: "no such cluster\nor so", At: minutesAgo(4), Standing: true},
		},
	}, s.Nodes...)
	return s
}

func shopResources() []*adminv1.Resource {
	return []*adminv1.Resource{
		{Kind: "Gateway", Name: "shopmax", Owner: adminv1.Owner_OWNER_DIRECTORY, File: "gateway.yaml", Yaml: "# the door\nkind: Gateway\nmetadata: {name: shopmax}\n"},
		{Kind: "MCPRoute", Name: "shop", Owner: adminv1.Owner_OWNER_API, Yaml: "kind: MCPRoute\nmetadata: {name: shop}"},
		{Kind: "MCPServer", Name: "orders", Owner: adminv1.Owner_OWNER_DIRECTORY, File: "orders.yaml", Pinned: true, Yaml: "kind: MCPServer\nmetadata: {name: orders}\n"},
	}
}

func history12() []*adminv1.Revision {
	return []*adminv1.Revision{
		revision12(),
		{Number: 11, Version: oldVersion, Author: "directory", Reason: "orders.yaml", Time: minutesAgo(90), Changes: []string{"~ A/1", "~ A/2", "~ A/3", "~ A/4", "~ A/5"}},
		{Number: 10, Version: "33", Author: "meera\x1b[2J", RollbackOf: 8, Reason: "calls fail", Time: minutesAgo(60 * 24 * 9), Changes: []string{"- MCPRoute/shop"}},
		{Number: 9, Version: "22", Author: "akhil", Reason: "new mail", TakenBackBy: 10, Time: minutesAgo(60*24*9 + 1), Changes: []string{"+ MCPServer/mail"}},
	}
}

// withNack is the status after a node said no to revision 12.
func withNack(phase, version string) *adminv1.StatusResponse {
	s := goodStatus()
	s.Rollout.Phase, s.Rollout.Version, s.Rollout.Active = phase, version, version
	s.Nodes[0].Sync, s.Nodes[0].Revisions = "rejected", []string{oldVersion}
	s.Nodes[0].Nack = &adminv1.Nack{Revision: newVersion12, Type: "clusters", Detail: "orders: bad lb_policy\nsecond line", At: minutesAgo(0), Standing: true}
	return s
}

// underWay is the status while revision 12 goes out.
func underWay(phase string) *adminv1.StatusResponse {
	s := goodStatus()
	s.Rollout.Phase = phase
	s.Nodes[0].Sync, s.Nodes[0].Revisions = "pending", []string{newVersion12, oldVersion}
	if phase != "policies" {
		s.Rollout.Active = oldVersion
	}
	return s
}

// overtaken is the status after somebody else's revision 13.
func overtaken() *adminv1.StatusResponse {
	s := goodStatus()
	s.Revision = &adminv1.Revision{Number: 13, Version: "1313131313131313", Author: "meera", Time: minutesAgo(0)}
	s.Rollout.Version, s.Rollout.Phase = "1313131313131313", "add"
	return s
}

// takenBack is the status after revision 13 undid 12.
func takenBack() *adminv1.StatusResponse {
	s := withNack("done", oldVersion)
	s.Revision = &adminv1.Revision{Number: 13, Version: oldVersion, Author: "akhil", RollbackOf: 11, Reason: "envoy-mumbai-1 refused revision 12", Time: minutesAgo(0)}
	s.Rejected = &adminv1.Rejected{Version: newVersion12, Node: "envoy-mumbai-1", Type: "clusters", Detail: "orders: bad lb_policy", At: minutesAgo(0)}
	s.Nodes[0].Nack, s.Nodes[0].Sync = nil, "synced"
	return s
}

func nobody() *adminv1.StatusResponse {
	s := goodStatus()
	s.Nodes = nil
	return s
}

// crowd is a status with more of everything than a screen holds.
func crowd() *adminv1.StatusResponse {
	s := goodStatus()
	name := func(prefix string, n int) string { return prefix + string(rune('a'+n/26)) + string(rune('a'+n%26)) }
	for n := range 60 {
		node := goodStatus().Nodes[0]
		node.Id = name("envoy-", n)
		s.Nodes = append(s.Nodes, node)
		server := goodStatus().Servers[0]
		server.Name = name("server-", n)
		s.Servers = append(s.Servers, server)
		s.Routes = append(s.Routes, &adminv1.Route{Name: name("route-", n), Path: "/" + name("", n)})
	}
	s.Nodes[7].Sync, s.Nodes[7].SilentSince = "silent", minutesAgo(2)
	return s
}

// badStatusOf12 has a silent node that the rollout waits for.
func badStatusOf12() *adminv1.StatusResponse {
	s := underWay("switch")
	s.Nodes[0].Sync = "silent"
	return s
}

func rolledBack() *adminv1.ApplyResponse {
	return &adminv1.ApplyResponse{Revision: &adminv1.Revision{Number: 13, Version: oldVersion, Author: "akhil", RollbackOf: 8, Changes: []string{"~ MCPServer/orders (pinned)"}}}
}
