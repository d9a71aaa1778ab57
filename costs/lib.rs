//! Nothing: this package is its benchmark. What it checks is noted in `catena_synthetic::costs`.
