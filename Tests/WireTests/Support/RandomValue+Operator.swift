// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Wire

extension SiteView: RandomValue {
    static func random(_ source: inout SeededGenerator) -> SiteView {
        SiteView(
            name: source.name(), draw: source.flag() ? source.power() : nil,
            charged: source.power(), limit: source.power(), overhead: source.power(),
            floors: source.power(), nodeCount: source.number(), liveNodeCount: source.number(),
            gpuCount: source.number(), heldGPUCount: source.number(),
            runningJobCount: source.number(), isCommissioning: source.flag(),
            epoch: source.number())
    }
}

extension DomainView: RandomValue {
    static func random(_ source: inout SeededGenerator) -> DomainView {
        DomainView(
            name: source.path(), level: source.text(), site: source.name(),
            parent: source.optionalText(), tree: source.number(), limit: source.power(),
            effectiveLimit: source.power(), overhead: source.power(), charged: source.power(),
            floors: source.power(), draw: source.flag() ? source.power() : nil,
            isCommissioning: source.flag(), isBinding: source.flag(), peakCharged: source.power(),
            nodeCount: source.number())
    }
}

extension NodeView: RandomValue {
    static func random(_ source: inout SeededGenerator) -> NodeView {
        NodeView(
            name: source.name(), site: source.name(), type: source.text(), model: source.text(),
            gpuCount: source.number(), state: source.pick(), enforcementClass: source.pick(),
            charge: source.power(), cap: source.power(), enforced: source.power(),
            draw: source.flag() ? source.power() : nil, fallback: source.power(),
            freeGPUMilli: source.number(), freeCPUMilli: source.number(),
            freeMemoryMiB: source.number(), leaseAgeMilliseconds: source.number(),
            leaves: source.list(upTo: 3) { $0.path() }, mark: source.text(),
            violations: source.number())
    }
}

extension GPUView: RandomValue {
    static func random(_ source: inout SeededGenerator) -> GPUView {
        GPUView(
            node: source.name(), device: source.number(), model: source.text(),
            heldMilli: source.number(), jobs: source.list(upTo: 3) { JobID($0.number()) },
            floor: source.power(), full: source.power(), capTarget: source.power(),
            capEnforced: source.flag() ? source.power() : nil,
            draw: source.flag() ? source.power() : nil, levelPPM: source.number(),
            boundBy: source.optionalText())
    }
}

extension JobView: RandomValue {
    static func random(_ source: inout SeededGenerator) -> JobView {
        JobView(
            id: JobID(source.number()), name: source.text(), state: source.pick(),
            priority: Int32(truncatingIfNeeded: source.next()), taskCount: source.number(),
            gpuCount: source.number(), gpuMilli: source.number(), floor: source.power(),
            cap: source.power(), levelPPM: source.number(), reason: source.text(),
            submittedUnixMilliseconds: source.number(), nodes: source.text(),
            submittedBy: source.text())
    }
}

extension TaskView: RandomValue {
    static func random(_ source: inout SeededGenerator) -> TaskView {
        TaskView(
            index: source.number(), node: source.name(), devices: TaskStart.devices(&source),
            state: source.text())
    }
}

extension EventView: RandomValue {
    static func random(_ source: inout SeededGenerator) -> EventView {
        EventView(
            revision: source.number(), unixMilliseconds: source.number(), actor: source.text(),
            kind: source.text(), subject: source.text(), message: source.text())
    }
}

extension ReasonView: RandomValue {
    static func random(_ source: inout SeededGenerator) -> ReasonView {
        ReasonView(kind: source.text(), nodeCount: source.number(), message: source.text())
    }
}

extension ShortfallView: RandomValue {
    static func random(_ source: inout SeededGenerator) -> ShortfallView {
        ShortfallView(
            domain: source.path(), headroom: source.power(), needed: source.power(),
            nodeCount: source.number())
    }
}

extension JobExplanation: RandomValue {
    static func random(_ source: inout SeededGenerator) -> JobExplanation {
        JobExplanation(
            job: JobID(source.number()), state: source.pick(),
            reasons: source.values(upTo: 3), shortfalls: source.values(upTo: 3),
            fitsIf: source.list(upTo: 3) { $0.text() }, levelPPM: source.number(),
            boundBy: source.optionalText())
    }
}

extension FleetStatus: RandomValue {
    static func random(_ source: inout SeededGenerator) -> FleetStatus {
        FleetStatus(
            fleet: source.name(), sites: source.values(upTo: 4), gpuCount: source.number(),
            heldGPUMilli: source.number(), runningJobCount: source.number(),
            queuedJobCount: source.number(), placedJobTotal: source.number(),
            finishedJobTotal: source.number(), peakCommittedPPB: source.number(),
            leaseExpiries: source.number(), nodeCount: source.number(),
            liveNodeCount: source.number(), provenNodeCount: source.number(),
            isCommissioning: source.flag(), commissioningMilliseconds: source.number(),
            fleetEpoch: source.number(), uptimeMilliseconds: source.number(),
            reportTotal: source.number(), bindingDomainCount: source.number(),
            provenClassCount: source.number())
    }
}

extension OperatorRequest: RandomValue {
    static func random(_ source: inout SeededGenerator) -> OperatorRequest {
        OperatorRequest(
            id: source.number(), deadlineMilliseconds: source.number(), body: body(&source))
    }

    private static func body(_ source: inout SeededGenerator) -> Body {
        switch Int.random(in: 0..<21, using: &source) {
        case 0: .getStatus
        case 1: .listSites
        case 2: .listDomains(site: source.text())
        case 3: .listNodes(site: source.text(), domain: source.text())
        case 4: .listGPUs(site: source.text(), node: source.text())
        case 5: .listJobs(filter(&source), after: JobID(source.number()), limit: source.number())
        case 6: .listEvents(afterRevision: source.number(), limit: source.number())
        case 7: .describeJob(source.text())
        case 8: .describeNode(source.text())
        case 9: .describeDomain(source.text())
        case 10: .explainJob(source.text())
        case 11:
            .submitJob(
                SubmitJob(
                    requestID: source.value(), spec: source.value(), isNowOrNever: source.flag(),
                    isDryRun: source.flag()))
        case 12: .cancelJob(requestID: source.value(), job: source.text())
        case 13: .getVersion
        case 14: .watchStatus(intervalMilliseconds: source.number())
        case 15: .stopWatch(source.number())
        case 16:
            .markNode(MarkNode(node: source.text(), mark: source.pick(), reason: source.text()))
        case 17:
            .makeReservation(
                MakeReservation(
                    name: source.name(), spec: source.value(),
                    durationMilliseconds: source.number()))
        case 18: .endReservation(source.text())
        case 19: .listReservations
        default: .unknown
        }
    }

    private static func filter(_ source: inout SeededGenerator) -> JobFilter {
        switch Int.random(in: 0..<3, using: &source) {
        case 0: .open
        case 1: .all
        default: .state(source.pick())
        }
    }
}

extension OperatorReply: RandomValue {
    static func random(_ source: inout SeededGenerator) -> OperatorReply {
        let kind = Int.random(in: 0..<19, using: &source)
        return OperatorReply(
            id: source.number(), isLast: source.flag(),
            body: kind < 8 ? list(&source, kind: kind) : single(&source, kind: kind))
    }

    private static func list(_ source: inout SeededGenerator, kind: Int) -> Body {
        switch kind {
        case 0:
            .error(OperatorError(code: source.pick(), message: source.text(), hint: source.text()))
        case 1: .status(source.value())
        case 2: .sites(source.values(upTo: 5))
        case 3: .domains(source.values(upTo: 5))
        case 4: .nodes(source.values(upTo: 5))
        case 5: .gpus(source.values(upTo: 5))
        case 6: .jobs(source.values(upTo: 5))
        default: .events(source.values(upTo: 5))
        }
    }

    private static func single(_ source: inout SeededGenerator, kind: Int) -> Body {
        switch kind {
        case 8:
            .job(
                JobDetail(
                    job: source.value(), spec: source.value(), tasks: source.values(upTo: 3),
                    events: source.values(upTo: 3), boundBy: source.optionalText()))
        case 9: .explanation(source.value())
        case 10:
            .submitted(
                SubmitReply(
                    job: JobID(source.number()), state: source.pick(),
                    explanation: source.flag() ? source.value() : nil,
                    tasks: source.values(upTo: 3)))
        case 11: .cancelled(CancelReply(job: JobID(source.number()), state: source.pick()))
        case 12:
            .version(VersionReply(version: source.text(), protocolVersion: source.number()))
        case 13:
            .node(
                NodeDetail(
                    node: source.value(), gpus: source.values(upTo: 3),
                    domains: source.values(upTo: 3),
                    jobs: source.list(upTo: 3) { JobID($0.number()) }))
        case 14:
            .domain(
                DomainDetail(
                    domain: source.value(), children: source.values(upTo: 3),
                    nodes: source.values(upTo: 3)))
        case 15:
            .marked(
                MarkReply(
                    node: source.name(), mark: source.pick(),
                    jobs: source.list(upTo: 3) { JobID($0.number()) }))
        case 16: .reservation(source.value())
        case 17: .reservations(source.values(upTo: 3))
        default: .none
        }
    }
}
