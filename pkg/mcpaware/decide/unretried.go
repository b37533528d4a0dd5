package decide

// WithoutRetries takes the action's route that tries again only what provably never reached a
// server; nothing changes where there is none.
func (d *Decision) WithoutRetries() {
	twin := d.Action.GetUnretried()
	if twin == "" || d.onlySecond {
		return
	}
	if d.Call.GetSecond() != nil {
		twin = d.Action.GetFallback().GetUnretried()
	}
	d.stampRoute(twin)
}
