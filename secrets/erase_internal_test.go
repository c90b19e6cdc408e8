package secrets

// Erases reports whether this is a build with GOEXPERIMENT=runtimesecret.
const Erases = erases
