// SPDX-License-Identifier: Apache-2.0

/// What the nodes of the experiment draw, as a function of what is taken of them.
///
/// A GPU draws its busy watts once any part of it is held. Two vCPUs are a core, sixteen cores a
/// package; packages fill one after the other, an active one draws 120 W and an idle one 15 W.
///
/// Figures and rules are those of the power-aware experiment on the same trace ("Power- and
/// Fragmentation-aware Online Scheduling for GPU Datacenters", CCGRID 2025, arXiv 2412.17484).
package enum ExperimentPower {
    /// Idle and busy watts of a GPU; nil for a model that the experiment does not know.
    package static func watts(model: String) -> (idle: Int, busy: Int)? {
        switch model {
        case "T4": (10, 70)
        case "A10", "G2": (30, 150)
        case "P100": (25, 250)
        case "V100M16", "V100M32": (30, 300)
        case "G3": (50, 400)
        default: nil
        }
    }

    /// The models that ``watts(model:)`` knows.
    package static let models = ["A10", "G2", "G3", "P100", "T4", "V100M16", "V100M32"]

    /// Watts of a node's packages.
    static func packageWatts(cpuMilli: UInt32, freeCPU: UInt32) -> Int {
        let cores = (Int(cpuMilli) + 1999) / 2000
        let idleCores = Int(freeCPU) / 2000
        let packages = (cores + 15) / 16
        let active = (cores - idleCores + 15) / 16
        return 120 * active + 15 * (packages - active)
    }

    /// Watts of a node as it is.
    static func watts(node: Int, _ fleet: PlacementFleet, _ figures: (idle: Int, busy: Int)) -> Int
    {
        let type = Int(fleet.nodeType[node])
        let first = Int(fleet.firstGPU[node])
        var sum = packageWatts(cpuMilli: fleet.typeCPU[type], freeCPU: fleet.freeCPU[node])
        for gpu in first..<(first + Int(fleet.typeGPUCount[type])) {
            sum += fleet.gpuFreeMilli[gpu] < 1000 ? figures.busy : figures.idle
        }
        return sum
    }
}
