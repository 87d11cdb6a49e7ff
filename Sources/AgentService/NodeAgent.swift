// SPDX-License-Identifier: Apache-2.0

internal import Devices
internal import FleetModel
package import Wire

/// The agent of one node: what it makes of messages, samples and time.
///
/// A value without I/O; a shell brings it events with the time and carries out its directives.
///
/// ```
///  coordinator ── grant ─────► NodeAgent ── grant, chain ──► enforcer
///              ◄─ renewal ────           ◄─ renewal ───────
///              ◄─ report, status          ── shares ───────►
///              ── plan, start, stop ►     ◄─ status ────────
/// ```
///
/// The agent relays leases and is not trusted with them: it can neither make a grant nor raise a cap
/// above the one in force. When a connection comes back everything is told anew, so links may be
/// lost in any order.
///
/// All times are the agent's own monotonic clock, in nanoseconds.
package struct NodeAgent: Sendable {
    /// What the shell is to do.
    package enum Directive: Hashable, Sendable {
        /// Send on the session with the coordinator.
        case tell(AgentMessage)
        /// Send to the enforcer.
        case ask(EnforcerMessage.Body)
        /// Play a load on a device.
        case play(device: Int, DeviceDemand)
        /// End the session; the shell dials again after a while.
        case endSession(String)
        /// Write a line into the log.
        case log(String)
    }

    private enum Session: Hashable {
        case closed
        case greeting
        case open
    }

    /// How long an unanswered share request blocks the next one.
    private static let shareNanoseconds: Int64 = 1_000_000_000
    /// How long to wait before asking again after a refused grant.
    private static let refusedNanoseconds: Int64 = 200_000_000

    package let name: String
    private let softwareVersion: String
    private let holdNanoseconds: Int64
    private var inventory: HardwareInventory?
    private var session = Session.closed
    private var isEnforcerThere = false
    private var signerChain: [[UInt8]] = []
    private var reportNanoseconds: Int64
    private var reportDue: Int64 = 0
    private var reportSequence: UInt64 = 0
    private var tasks = TaskTable(gpuCount: 0)
    private var demands: [DeviceDemand] = []
    private var share: LocalShare?
    private var status: EnforcerStatus?
    private var shareSent: Int64?
    /// When to ask the enforcer for a renewal if none has come till then.
    private var renewalDue: Int64?

    /// An agent that knows nothing of its devices yet.
    ///
    /// - Parameters:
    ///   - name: the node.
    ///   - softwareVersion: for the hello.
    ///   - reportNanoseconds: time between two reports, until the coordinator names another.
    ///   - holdNanoseconds: how long a coordinator holds a renewal at most.
    package init(
        name: String, softwareVersion: String, reportNanoseconds: Int64, holdNanoseconds: Int64
    ) {
        self.name = name
        self.softwareVersion = softwareVersion
        self.reportNanoseconds = reportNanoseconds
        self.holdNanoseconds = holdNanoseconds
    }

    /// True when the devices are known: a session can begin.
    package var isReady: Bool { inventory != nil }

    /// True when a session is open.
    package var isInSession: Bool { session == .open }

    /// The lease as the enforcer told it last; nil while it has told nothing.
    package var enforcerStatus: EnforcerStatus? { status }

    /// The number of running tasks.
    package var taskCount: Int { tasks.count }

    // MARK: - Devices

    /// The devices were found, for the first time or after they had been away.
    ///
    /// - Parameters:
    ///   - found: the devices.
    ///   - directives: what to do.
    package mutating func devicesFound(
        _ found: HardwareInventory, into directives: inout [Directive]
    ) {
        if inventory?.devices != found.devices {
            tasks = TaskTable(gpuCount: found.devices.count)
            share = LocalShare(devices: found.devices)
            if session != .closed { directives.append(.endSession("the devices have changed")) }
        }
        inventory = found
        // A driver that was away has forgotten its loads; one that was not hears the same again.
        demands = tasks.demands
        for (device, demand) in demands.enumerated() {
            directives.append(.play(device: device, demand))
        }
    }

    /// True when the node is to be sampled now: each time while it works, else for its reports.
    package func wantsSample(now: Int64) -> Bool {
        tasks.holdsGPUs || (session == .open && now >= reportDue)
    }

    /// Takes a sample, nil when the devices did not answer; shares, reports, ends tasks.
    ///
    /// Called at every turn of the share loop, with a sample only if ``wantsSample(now:)`` said so.
    ///
    /// - Parameters:
    ///   - sample: the sensors, if they were read.
    ///   - now: the time.
    ///   - directives: what to do.
    package mutating func turn(
        _ sample: HardwareSensors?, now: Int64, into directives: inout [Directive]
    ) {
        tell(tasks.expire(now: now), &directives)
        if let due = renewalDue, now >= due { askRenewal(now, &directives) }
        if let sample, sample.drawMilliwatts.count == inventory?.devices.count {
            share?.observe(sample, now: now)
            shareIfNeeded(now, &directives)
        }
        if session == .open, now >= reportDue { report(sample, now, &directives) }
    }

    private mutating func report(
        _ sample: HardwareSensors?, _ now: Int64, _ directives: inout [Directive]
    ) {
        guard let inventory else { return }
        reportSequence += 1
        let report = TelemetryReport(
            sample: sample, devices: inventory.devices, sequence: reportSequence,
            sampledNanoseconds: UInt64(max(0, now)))
        directives.append(.tell(.report(report)))
        reportDue += reportNanoseconds
        // After a pause there is nothing to catch up on.
        if reportDue <= now { reportDue = now + reportNanoseconds }
    }

    // MARK: - Session

    /// The shell has a connection to the coordinator.
    ///
    /// - Parameter directives: what to do.
    package mutating func sessionOpened(into directives: inout [Directive]) {
        guard let inventory else {
            directives.append(.endSession("the devices are not known yet"))
            return
        }
        session = .greeting
        let hello = AgentHello(
            softwareVersion: softwareVersion, node: name, bootID: inventory.bootID,
            devices: inventory.devices, tasks: tasks.statuses)
        directives.append(.tell(.hello(hello)))
    }

    /// The connection to the coordinator is gone.
    package mutating func sessionClosed() {
        session = .closed
        renewalDue = nil
        share?.forgetRevision()
    }

    /// A message of the coordinator came.
    ///
    /// - Parameters:
    ///   - message: what it says.
    ///   - now: the time.
    ///   - directives: what to do.
    package mutating func received(
        _ message: AgentMessage, now: Int64, into directives: inout [Directive]
    ) {
        if case .refusal(let refusal) = message {
            directives.append(.endSession("refused: \(refusal.message)"))
            return
        }
        if case .welcome(let welcome) = message {
            self.welcome(welcome, now, &directives)
            return
        }
        guard session == .open else {
            directives.append(.endSession("the coordinator spoke before its welcome"))
            return
        }
        switch message {
        case .grant(let grant):
            let delivery = GrantDelivery(grant: grant, signerChain: signerChain)
            directives.append(.ask(.grantDelivery(delivery)))
            renewalDue = now + NodeAgent.shareNanoseconds
        case .powerPlan(let plan): adopt(plan, now, &directives)
        case .taskStart(let start):
            tell(tasks.start(start, now: now), &directives)
            playChanges(&directives)
        case .taskStop(let task):
            if let status = tasks.stop(task) { tell([status], &directives) }
            playChanges(&directives)
        case .unknown: break
        case .hello, .report, .renewal, .taskStatus, .goodbye, .welcome, .refusal:
            directives.append(.endSession("a coordinator does not say that"))
        }
    }

    private mutating func welcome(
        _ welcome: AgentWelcome, _ now: Int64, _ directives: inout [Directive]
    ) {
        guard session != .closed, welcome.protocolVersion == ProtocolVersion.current else {
            directives.append(.endSession("an unexpected welcome"))
            return
        }
        signerChain = welcome.signerChain
        // A coordinator whose certificate was replaced says its terms again in an open session.
        guard session == .greeting else { return }
        session = .open
        if (100...60_000).contains(welcome.reportIntervalMilliseconds) {
            reportNanoseconds = Int64(welcome.reportIntervalMilliseconds) * 1_000_000
        }
        // Each node reports at its own moment of the interval, whenever its session began.
        let offset = Int64(stableHash(name) % UInt64(reportNanoseconds))
        reportDue = now - (now - offset) % reportNanoseconds
        if reportDue < now { reportDue += reportNanoseconds }
        askRenewal(now, &directives)
    }

    private mutating func adopt(
        _ plan: PowerPlan, _ now: Int64, _ directives: inout [Directive]
    ) {
        guard share?.adopt(plan) == true else {
            directives.append(.log("a power plan (revision \(plan.revision)) does not fit"))
            return
        }
        shareIfNeeded(now, &directives)
    }

    // MARK: - Enforcer

    /// The connection to the enforcer is there.
    ///
    /// - Parameters:
    ///   - now: the time.
    ///   - directives: what to do.
    package mutating func enforcerConnected(now: Int64, into directives: inout [Directive]) {
        isEnforcerThere = true
        askRenewal(now, &directives)
    }

    /// The connection to the enforcer is gone; nothing is known of the lease.
    package mutating func enforcerLost() {
        isEnforcerThere = false
        status = nil
        shareSent = nil
    }

    /// A message of the enforcer came.
    ///
    /// - Parameters:
    ///   - body: what it says.
    ///   - now: the time.
    ///   - directives: what to do.
    package mutating func received(
        _ body: EnforcerMessage.Body, now: Int64, into directives: inout [Directive]
    ) {
        switch body {
        case .renewal(let renewal):
            guard session == .open else { return }
            directives.append(.tell(.renewal(renewal)))
            // A coordinator answers within its hold; when it does not, the answer was lost.
            renewalDue = now + 2 * holdNanoseconds
        case .grantVerdict(let verdict):
            if verdict.outcome == .accepted {
                askRenewal(now, &directives)
            } else {
                directives.append(.log("grant refused by the enforcer: \(verdict.outcome)"))
                renewalDue = now + NodeAgent.refusedNanoseconds
            }
        case .status(let fresh): take(fresh, now, &directives)
        case .refusal(let reason):
            directives.append(.log("the enforcer refused: \(reason)"))
        case .renewalRequest, .grantDelivery, .shareRequest, .unknown: break
        }
    }

    private mutating func take(
        _ fresh: EnforcerStatus, _ now: Int64, _ directives: inout [Directive]
    ) {
        let hadLease = status.map { $0.remainingNanoseconds > 0 } ?? false
        status = fresh
        shareSent = nil
        if hadLease, fresh.remainingNanoseconds == 0 {
            directives.append(.log("the lease ended; the node goes to its fallback"))
            tell(tasks.leaseEnded(), &directives)
            playChanges(&directives)
        }
        shareIfNeeded(now, &directives)
    }

    private mutating func askRenewal(_ now: Int64, _ directives: inout [Directive]) {
        renewalDue = nil
        guard session == .open, isEnforcerThere else { return }
        directives.append(.ask(.renewalRequest))
        renewalDue = now + 2 * holdNanoseconds
    }

    private mutating func shareIfNeeded(_ now: Int64, _ directives: inout [Directive]) {
        guard let status, status.remainingNanoseconds > 0, isEnforcerThere else { return }
        if let sent = shareSent, now - sent < NodeAgent.shareNanoseconds { return }
        guard let caps = share?.caps(of: status.cap),
            LocalShare.isWorthWriting(caps, over: status.requestedCapMilliwatts)
        else { return }
        shareSent = now
        directives.append(.ask(.shareRequest(capMilliwatts: caps)))
    }

    // MARK: - Tasks

    private mutating func tell(_ statuses: [TaskStatus], _ directives: inout [Directive]) {
        guard !statuses.isEmpty else { return }
        if session == .open {
            for status in statuses { directives.append(.tell(.taskStatus(status))) }
        }
        playChanges(&directives)
    }

    private mutating func playChanges(_ directives: inout [Directive]) {
        let wanted = tasks.demands
        for device in wanted.indices where demands[device] != wanted[device] {
            directives.append(.play(device: device, wanted[device]))
        }
        demands = wanted
    }
}

extension TelemetryReport {
    /// A report of one sample; a reading that is missing, zero or absurd is unknown.
    init(
        sample: HardwareSensors?, devices: [DeviceInventory], sequence: UInt64,
        sampledNanoseconds: UInt64
    ) {
        self.init(
            gpuCount: devices.count, sequence: sequence, sampledNanoseconds: sampledNanoseconds)
        guard let sample, sample.drawMilliwatts.count == devices.count else { return }
        for device in devices.indices {
            // Excursions above a cap are physics; twice the highest cap is a broken sensor.
            let most = UInt64(max(0, devices[device].maximumCap.rawValue)) * 2
            let draw = sample.drawMilliwatts[device]
            drawMilliwatts[device] = draw
            drawValidity[device] = draw > 0 && UInt64(draw) <= most
            let requested = sample.requestedMilliwatts[device]
            requestedCapMilliwatts[device] = requested
            requestedCapValidity[device] = requested > 0
            let enforced = sample.enforcedMilliwatts[device]
            enforcedCapMilliwatts[device] = enforced
            enforcedCapValidity[device] = enforced > 0 && UInt64(enforced) <= most
            let temperature = sample.temperatureMillidegrees[device]
            temperatureMillidegrees[device] = temperature
            temperatureValidity[device] = (1...150_000).contains(temperature)
            utilizationPPM[device] = sample.utilizationPPM[device]
            utilizationValidity[device] = sample.utilizationPPM[device] <= 1_000_000
        }
    }
}
