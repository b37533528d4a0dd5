package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// many is how many servers make an answer that goes out in pieces, several times over.
const many = 200

// manyServers describes so many, one of them with another timeout. Nobody connects to them.
func manyServers(timeout int) string {
	var text strings.Builder
	for n := range many {
		ms := 1000
		if n == 0 {
			ms = timeout
		}
		fmt.Fprintf(&text, "---\nkind: MCPServer\nmetadata: {name: many-%d}\nspec: {connectTimeout: %dms, healthCheck: {disabled: true}, regions: [{name: asia-south1, endpoints: [{address: 127.0.3.%d:7101}]}]}\n", n, ms, n+1)
	}
	return text.String()
}

// TestManyServers: Envoy takes everything at once when it starts, one change alone afterwards,
// and nothing at all when it comes back to a control plane that has what it has.
func TestManyServers(t *testing.T) {
	t.Parallel()
	bed := testbed.Start(t, testbed.Options{Config: testbed.DefaultConfig + manyServers(1000)})
	has := func(timeout string) {
		t.Helper()
		bed.Until(testbed.Patience, "all servers, at rest", func() bool {
			return bed.AtRest() && bed.Acked("clusters") != "" && bed.Stat("cluster_manager.active_clusters") > many &&
				strings.Contains(bed.AdminOf(bed.Admin, "/config_dump?resource=dynamic_active_clusters&name_regex=many-0"), `"connect_timeout": "`+timeout+`"`)
		})
	}
	unrefused := func() {
		t.Helper()
		for _, name := range []string{"cluster_manager.cds.update_rejected", "listener_manager.lds.update_rejected"} {
			if n := bed.Stat(name); n != 0 {
				t.Errorf("%s is %d", name, n)
			}
		}
	}
	has("1s")
	bed.Kill(testbed.Envoy)
	bed.Restart(testbed.Envoy)
	has("1s")
	before := bed.Stat("cluster_manager.cluster_modified")
	bed.WriteConfig(testbed.DefaultConfig + manyServers(1500))
	has("1.500s")
	if n := bed.Stat("cluster_manager.cluster_modified") - before; n != 1 {
		t.Errorf("%d clusters were changed, not one", n)
	}
	before = bed.Stat("cluster_manager.cluster_modified") + bed.Stat("cluster_manager.cluster_added") + bed.Stat("cluster_manager.cluster_removed")
	bed.Kill(testbed.XDS)
	bed.Restart(testbed.XDS)
	has("1.500s")
	if n := bed.Stat("cluster_manager.cluster_modified") + bed.Stat("cluster_manager.cluster_added") + bed.Stat("cluster_manager.cluster_removed") - before; n != 0 {
		t.Errorf("coming back changed %d clusters", n)
	}
	unrefused()
}
