// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Testing
import Wire

@Suite struct AgentMessageTests {
    @Test("A hello survives the wire")
    func hello() throws {
        let hello = AgentHello(
            softwareVersion: "0.1.0", node: "n001", bootID: [1, 2, 3],
            devices: [
                DeviceInventory(
                    uuid: "GPU-1", model: "H100-SXM", minimumCap: .watts(200),
                    maximumCap: .watts(700))
            ],
            tasks: [
                TaskStatus(
                    task: TaskAttempt(job: JobID(7), taskIndex: 1, attempt: 2), state: .running)
            ])
        let bytes = AgentMessage.hello(hello).encoded()
        #expect(try AgentMessage.decode(bytes) == .hello(hello))
    }
}
