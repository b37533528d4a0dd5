// Package succession compares a server with the one that takes over from it (config.Successor) while both have callers, and says
// when the newer one is worse: by a sequential test, which may be looked at after every call. It knows nothing of revisions and
// Envoys; it is no part of how a revision goes out (package rollout).
package succession

import "math"

// arm is a number of calls, and how many of them had something that is counted.
type arm struct{ n, hits float64 }

func (a arm) share() float64 {
	if a.n == 0 {
		return 0
	}
	return a.hits / a.n
}

// evidence says how much an arm's calls speak against a probability p of a hit: the logarithm of a likelihood ratio, against a mixture
// over all probabilities with Jeffreys' prior, Beta(½, ½). While p is true its exponential is a martingale that begins at 1, so by Ville's
// inequality it ever reaches 1/α with a probability of at most α, however often one looks: the mixture sequential
// probability ratio test (Robbins, Annals of Mathematical Statistics 41, 1970; Johari, Koomen, Pekelis and Walsh, "Always
// Valid Inference: Continuous Monitoring of A/B Tests", Operations Research 70, 2022, arXiv:1512.04922).
func (a arm) evidence(p float64) float64 {
	const half = 0.5
	out := logBeta(a.hits+half, a.n-a.hits+half) - logBeta(half, half)
	if a.hits > 0 {
		out -= a.hits * math.Log(p)
	}
	if a.n > a.hits {
		out -= (a.n - a.hits) * math.Log1p(-p)
	}
	return out
}

// atMost is the evidence against every probability up to limit: that against the likeliest of them.
func (a arm) atMost(limit float64) float64 {
	return a.evidence(clamp(min(limit, a.share())))
}

// worse is the evidence that hits are more probable in next than in base by more than a margin. It is the least evidence over all
// pairs of probabilities for which that is not so, where that of a pair is the sum for both arms: for the true pair that is the logarithm
// of a product of two independent martingales, so that again it reaches log(1/α) with a probability of at most α.
func worse(base, next arm, margin float64) float64 {
	against := func(p float64) float64 { return base.evidence(clamp(p)) + next.atMost(p+margin) }
	// Both terms are convex in p.
	low, high := 0.0, 1-margin
	for range 80 {
		third := (high - low) / 3
		if a, b := low+third, high-third; against(a) <= against(b) {
			high = b
		} else {
			low = a
		}
	}
	return against((low + high) / 2)
}

// clamp keeps a probability where logarithms are numbers.
func clamp(p float64) float64 {
	const least = 1e-12
	return min(max(p, least), 1-least)
}

func logBeta(a, b float64) float64 {
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	return la + lb - lab
}
