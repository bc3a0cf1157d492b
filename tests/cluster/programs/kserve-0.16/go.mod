module mainspring.test/kserve

go 1.24.1

require github.com/kserve/kserve v0.16.0

// The replacements of this release; those of a required module do not count by themselves.
replace (
	sigs.k8s.io/controller-runtime => sigs.k8s.io/controller-runtime v0.19.7
)
