// SPDX-License-Identifier: Apache-2.0

import AllocationCore
import ControlPlane
import FleetModel

/// One coordinator: what it knows of its site's ledger and, while it leads the fleet, of all.
struct CoordinatorSeat {
    let site: Int
    var grantor: SiteGrantor
    var loop: SitePowerLoop
    var clock: SimulatedClock
    /// Counts starts: events of earlier lives are void.
    var life: Int32 = 0
    var isDown = false

    // MARK: The site's leadership

    /// Names the campaign under way; older answers are ignored.
    var token: Int32 = 0
    var campaignedAt: Int64?
    /// The epoch that was won, and the clocks at its acknowledgement, until the ledger is read.
    var won: (epoch: UInt64, at: ClockReading)?
    var versions = SimulatedStore.Versions(site: 0, shards: [])
    /// What the next ledger write reserves, by the site's positions.
    var floors: [Milliwatts] = []
    /// The newest plan that this leadership may go by; nil until one that was fenced came.
    var plan: FleetPlanMessage?
    /// The plan that the write in flight was made from.
    var planInFlight: FleetPlanMessage?
    var lastSolve: Int64 = -10_000_000_000
    /// The coordinator that leads the fleet, as far as it has heard.
    var fleetLeader = 0

    // MARK: The fleet's

    var fleet = FleetSeat()

    init(site: Int, grantor: SiteGrantor, loop: SitePowerLoop, clock: SimulatedClock) {
        self.site = site
        self.grantor = grantor
        self.loop = loop
        self.clock = clock
    }
}
