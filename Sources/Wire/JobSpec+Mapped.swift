// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

extension JobSpec: Mapped {
    static var messageName: String { "JobSpec" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__JobSpec>) {
        busbar__v1__job_spec__init(message)
    }

    static func read(_ message: Busbar__V1__JobSpec) throws(WireError) -> JobSpec {
        let labels: [Label] = try fields.list(
            message.n_selector, message.selector, "selector", limit: PlanBound.labels)
        let floor = try fields.power(message.floor_mw, "floor_mw")
        let duration = try fields.duration(message.duration_ns, "duration_ns")
        return JobSpec(
            name: try fields.name(message.name, "name"),
            priority: message.priority,
            weight: try fields.number(message.weight, "weight", in: 1...UInt32.max),
            taskCount: try fields.number(
                message.task_count, "task_count", in: 1...OperatorBound.taskCount),
            task: try task(of: message),
            isSpread: message.spread != 0,
            models: try fields.texts(
                message.n_models, message.models, "models", limit: PlanBound.labels),
            sites: try fields.names(
                message.n_sites, message.sites, "sites", limit: PlanBound.sites),
            selector: try fields.dictionary(labels.map { ($0.key, $0.value) }, "selector"),
            requiredLevel: try fields.optionalText(message.required_level, "required_level"),
            floor: floor == .zero ? nil : floor,
            profile: try fields.value(message.profile.rawValue, "profile"),
            durationNanoseconds: duration == 0 ? nil : duration,
            onLeaseEnd: message.kill_on_lease_end != 0 ? .kill : .keep,
            preferredLevel: try fields.optionalText(message.preferred_level, "preferred_level"),
            levelSpread: try levelSpread(of: message),
            isFullPace: message.full_pace != 0,
            preemption: message.preempt_lower != 0 ? .lower : .never,
            reservation: try fields.optionalText(message.reservation, "reservation"))
    }

    private static func levelSpread(
        of message: Busbar__V1__JobSpec
    ) throws(WireError) -> LevelSpread? {
        let maximum = message.spread_maximum_tasks
        guard let level = try fields.optionalText(message.spread_level, "spread_level") else {
            guard maximum == 0 else {
                throw fields.error(
                    "spread_maximum_tasks", .inconsistent("there is no level to spread over"))
            }
            return nil
        }
        return LevelSpread(level: level, maximumTasks: maximum == 0 ? nil : maximum)
    }

    private static func task(of message: Busbar__V1__JobSpec) throws(WireError) -> TaskRequest {
        let gpuCount = try fields.number(
            message.gpu_count, "gpu_count", in: 0...UInt32(TelemetryReport.maximumGPUCount))
        let milli = try fields.number(message.gpu_milli, "gpu_milli", in: 0...1000)
        guard gpuCount == 0 || milli > 0 else {
            throw fields.error("gpu_milli", .inconsistent("no part of a GPU is asked for"))
        }
        guard gpuCount <= 1 || milli == 1000 else {
            throw fields.error("gpu_milli", .inconsistent("only a single GPU can be shared"))
        }
        return TaskRequest(
            gpuCount: UInt16(gpuCount), gpuMilli: UInt16(milli), cpuMilli: message.cpu_milli,
            memoryMiB: message.memory_mib)
    }

    func write(to message: inout Busbar__V1__JobSpec, _ builder: Builder) {
        let sorted = selector.sorted { $0.key < $1.key }
        message.name = builder.text(name)
        message.priority = priority
        message.weight = weight
        message.task_count = taskCount
        message.gpu_count = UInt32(task.gpuCount)
        message.gpu_milli = UInt32(task.gpuMilli)
        message.cpu_milli = task.cpuMilli
        message.memory_mib = task.memoryMiB
        message.spread = isSpread ? 1 : 0
        message.n_models = models.count
        message.models = builder.texts(models)
        message.n_sites = sites.count
        message.sites = builder.texts(sites)
        message.n_selector = sorted.count
        message.selector = builder.list(sorted.map { Label(key: $0.key, value: $0.value) })
        message.required_level = builder.text(requiredLevel ?? "")
        message.floor_mw = builder.power(floor ?? .zero)
        message.profile = Busbar__V1__DemandProfile(rawValue: profile.wireValue)
        message.duration_ns = builder.duration(durationNanoseconds ?? 0)
        message.kill_on_lease_end = onLeaseEnd == .kill ? 1 : 0
        message.preferred_level = builder.text(preferredLevel ?? "")
        message.spread_level = builder.text(levelSpread?.level ?? "")
        message.spread_maximum_tasks = levelSpread?.maximumTasks ?? 0
        message.full_pace = isFullPace ? 1 : 0
        message.preempt_lower = preemption == .lower ? 1 : 0
        message.reservation = builder.text(reservation ?? "")
    }
}

/// One label of a selector.
private struct Label: Mapped {
    var key: String
    var value: String

    static var messageName: String { "Label" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__Label>) {
        busbar__v1__label__init(message)
    }

    static func read(_ message: Busbar__V1__Label) throws(WireError) -> Label {
        Label(
            key: try fields.text(message.key, "key", limit: PlanBound.wordByteCount),
            value: try fields.text(message.value, "value", limit: PlanBound.wordByteCount))
    }

    func write(to message: inout Busbar__V1__Label, _ builder: Builder) {
        message.key = builder.text(key)
        message.value = builder.text(value)
    }
}
