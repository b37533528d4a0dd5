package telemetry

// Statistic is one of Envoy's own, under the name that its /stats/prometheus gives it.
type Statistic struct {
	Name string
	// Means what it counts, in one sentence.
	Means string
	// Beside are Holdfast's metrics that it is to be read with.
	Beside []string
}

// EnvoyStatistics are those that an operator of Holdfast looks at: what Envoy knows and no
// program of ours repeats. Envoy shows one of a cluster once the cluster is there.
func EnvoyStatistics() []Statistic {
	const calls, verdicts = "mcp_server_operation_duration_seconds", "holdfast_verdicts_total"
	return []Statistic{
		{"envoy_http_downstream_rq_xx", "Requests by the class of their HTTP status, as clients saw it; MCP failures hide in 2xx.", []string{calls}},
		{"envoy_http_downstream_rq_time", "Requests by their whole time in ms, streams to their end.", []string{calls}},
		{"envoy_http_downstream_rq_active", "Requests under way.", []string{"holdfast_streams"}},
		{"envoy_cluster_upstream_rq_time", "Tries by their time in ms, server by server.", []string{calls}},
		{"envoy_cluster_upstream_rq_xx", "Tries by the class of the status that the attempt point gave them: 424 is a failed tool, 503 a failed endpoint.", []string{verdicts}},
		{"envoy_cluster_upstream_rq_retry", "Retries.", []string{"holdfast_retries_total"}},
		{"envoy_cluster_upstream_rq_retry_limit_exceeded", "Calls whose last allowed try failed.", []string{"holdfast_retries_total"}},
		{"envoy_cluster_upstream_rq_per_try_timeout", "Tries that had no answer in their time.", []string{verdicts}},
		{"envoy_cluster_upstream_cx_connect_fail", "Connections that could not be made; no verdict counts them.", []string{verdicts}},
		{"envoy_cluster_membership_total", "Endpoints.", []string{"holdfast_failovers_total"}},
		{"envoy_cluster_membership_healthy", "Endpoints that health checks and outlier detection leave in service.", []string{"holdfast_failovers_total"}},
		{"envoy_cluster_health_check_failure", "Health checks that failed.", []string{"holdfast_failovers_total"}},
		{"envoy_cluster_outlier_detection_ejections_active", "Endpoints that outlier detection leaves out.", []string{"holdfast_breaker_state", verdicts}},
		{"envoy_cluster_upstream_rq_active", "Tries under way.", []string{"holdfast_concurrency_calls"}},
		{"envoy_cluster_circuit_breakers_default_remaining_rq", "Room for further tries.", []string{"holdfast_concurrency_limit"}},
		{"envoy_control_plane_connected_state", "1 while there is a stream to the control plane.", []string{"holdfast_xds_nodes"}},
		{"envoy_cluster_manager_cds_update_rejected", "Updates of clusters that Envoy refused.", []string{"holdfast_xds_nacks_total"}},
		{"envoy_listener_manager_lds_update_rejected", "Updates of listeners that Envoy refused.", []string{"holdfast_xds_nacks_total"}},
		{"envoy_server_live", "1 while Envoy serves, 0 while it drains.", []string{"holdfast_build_info"}},
		{"envoy_server_memory_heap_size", "Heap in bytes; at 95 % of 2 GiB Envoy takes no more requests.", []string{"process_resident_memory_bytes"}},
	}
}
