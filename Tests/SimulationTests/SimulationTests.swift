// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import Simulation
import Testing

@Test func `Smoke`() {
    for seed in 1...10 as ClosedRange<UInt64> {
        var world = LeaseWorld(LeaseScenario(), seed: seed)
        let report = world.run()
        print(seed, report)
    }
}
