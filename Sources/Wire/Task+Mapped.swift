// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

extension TaskState: WireEnum {}

extension DemandProfile: WireEnum {
    init?(wireValue: UInt32) {
        switch wireValue {
        case 1: self = .training
        case 2: self = .inference
        case 3: self = .steady
        default: return nil
        }
    }

    var wireValue: UInt32 {
        switch self {
        case .training: 1
        case .inference: 2
        case .steady: 3
        }
    }
}

extension TaskAttempt: Mapped {
    static var messageName: String { "TaskStop" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__TaskStop>) {
        busbar__v1__task_stop__init(message)
    }

    static func read(_ message: Busbar__V1__TaskStop) throws(WireError) -> TaskAttempt {
        TaskAttempt(
            job: JobID(message.job_id), taskIndex: message.task_index, attempt: message.attempt)
    }

    func write(to message: inout Busbar__V1__TaskStop, _ builder: Builder) {
        message.job_id = job.rawValue
        message.task_index = taskIndex
        message.attempt = attempt
    }
}

extension TaskStatus: Mapped {
    static var messageName: String { "TaskStatus" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__TaskStatus>) {
        busbar__v1__task_status__init(message)
    }

    static func read(_ message: Busbar__V1__TaskStatus) throws(WireError) -> TaskStatus {
        TaskStatus(
            task: TaskAttempt(
                job: JobID(message.job_id), taskIndex: message.task_index,
                attempt: message.attempt),
            state: try fields.value(message.state.rawValue, "state"),
            message: try fields.text(message.message, "message"))
    }

    func write(to message: inout Busbar__V1__TaskStatus, _ builder: Builder) {
        message.job_id = task.job.rawValue
        message.task_index = task.taskIndex
        message.attempt = task.attempt
        message.state = Busbar__V1__TaskState(rawValue: state.wireValue)
        message.message = builder.text(self.message)
    }
}

extension TaskStart: Mapped {
    static var messageName: String { "TaskStart" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__TaskStart>) {
        busbar__v1__task_start__init(message)
    }

    static func read(_ message: Busbar__V1__TaskStart) throws(WireError) -> TaskStart {
        let duration = try fields.duration(message.duration_ns, "duration_ns")
        let milli = try fields.number(message.gpu_milli, "gpu_milli", in: 0...1000)
        return TaskStart(
            task: TaskAttempt(
                job: JobID(message.job_id), taskIndex: message.task_index,
                attempt: message.attempt),
            jobName: try fields.name(message.job_name, "job_name"),
            devices: try fields.devices(message.n_devices, message.devices, "devices"),
            gpuMilli: UInt16(milli),
            profile: try fields.value(message.profile.rawValue, "profile"),
            durationNanoseconds: duration == 0 ? nil : duration,
            onLeaseEnd: message.kill_on_lease_end != 0 ? .kill : .keep)
    }

    func write(to message: inout Busbar__V1__TaskStart, _ builder: Builder) {
        message.job_id = task.job.rawValue
        message.task_index = task.taskIndex
        message.attempt = task.attempt
        message.job_name = builder.text(jobName)
        message.n_devices = devices.count
        message.devices = builder.map(devices) { UInt32($0) }
        message.gpu_milli = UInt32(gpuMilli)
        message.profile = Busbar__V1__DemandProfile(rawValue: profile.wireValue)
        message.duration_ns = builder.duration(durationNanoseconds ?? 0)
        message.kill_on_lease_end = onLeaseEnd == .kill ? 1 : 0
    }
}

extension FieldReader {
    /// Positions of GPUs in a node, each below 64, none twice.
    func devices(
        _ count: Int, _ pointer: UnsafeMutablePointer<UInt32>?, _ field: String
    ) throws(WireError) -> [UInt16] {
        let last = UInt32(AgentBound.devices - 1)
        var seen: UInt64 = 0
        return try map(count, pointer, field, limit: AgentBound.devices) {
            device throws(WireError) in
            let bit: UInt64 = 1 << UInt64(try number(device, field, in: 0...last))
            guard seen & bit == 0 else {
                throw error(field, .inconsistent("device \(device) is named twice"))
            }
            seen |= bit
            return UInt16(device)
        }
    }
}
