// SPDX-License-Identifier: Apache-2.0

// Goal: job files and lists of traces are read as written, and refused with their line.

import Configuration
import FleetModel
import Testing

@Suite struct JobFileTests {
    private func jobs(_ text: String) throws(ConfigurationError) -> [String] {
        try JobFile.parse(Array(text.utf8), name: "j.yaml").map(\.name)
    }

    @Test("A job file is one job, a list of jobs, or a mapping with jobs")
    func forms() throws {
        #expect(try jobs("name: a\ngpus: 1\n") == ["a"])
        #expect(try jobs("- {name: a, gpus: 1}\n- {name: b, cpus: 1}\n") == ["a", "b"])
        #expect(try jobs("jobs:\n  - {name: \"a[1-3]\", gpus: 0.5}\n") == ["a1", "a2", "a3"])
    }

    @Test("Models and sites are left to the fleet to judge")
    func unknownReferences() throws {
        #expect(try jobs("{name: a, gpus: 1, models: [X9], sites: [mars], within: rack}") == ["a"])
    }

    @Test(
        "A bad job file is refused with its place",
        arguments: [
            ("", "j.yaml: the file is empty"),
            ("jobs: []", "there is no job in the file"),
            ("42", "j.yaml:1:1: a job must be a mapping"),
            (
                "jobs:\n  - {name: a, gpu: 1}",
                "j.yaml:2:15: unknown key 'gpu' in job 'a' (did you mean 'gpus'?)"
            ),
            (
                "jobs: [{name: a, gpus: 1}]\nsites: []",
                "j.yaml:2:1: unknown key 'sites' in a job file"
            ),
            ("gpus: 1", "j.yaml:1:1: a job has no 'name'"),
            ("{name: a, gpus: 1, floor: 0 W}", "the job's floor is 0 W"),
            ("{name: a, gpus: 1, weight: 10001}", "'10001' is not between 1 and 10000"),
        ])
    func refuses(text: String, expected: String) {
        do throws(ConfigurationError) {
            _ = try jobs(text)
            Issue.record("accepted")
        } catch {
            #expect(error.description.contains(expected), "\(error)")
        }
    }
}

@Suite struct ListTests {
    private static let header = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec"

    @Test("Columns are found by name, in any order, with any line ending")
    func columns() throws {
        let text = "gpu_milli,x,num_gpu,name,memory_mib,cpu_milli\r\n500,?,1,p1,1024,2000\r\n\r\n"
        let pods = try PodList.parse(Array(text.utf8), name: "p.csv")
        #expect(pods.count == 1)
        #expect(
            pods[0].task
                == TaskRequest(gpuCount: 1, gpuMilli: 500, cpuMilli: 2000, memoryMiB: 1024))
        #expect(pods[0].line == 2)
    }

    @Test("Fields may stand in quotes, and have commas, line breaks and quotes in them")
    func quotes() throws {
        let text =
            "\"name\",cpu_milli,memory_mib,num_gpu,gpu_milli,note\r\n"
            + "\"p1\",\"2000\",1024,1,500,\"a, \"\"b\"\"\r\nc\"\r\np2,1,1,1,1000,\"\"\r\np3,1,1,x,1,"
        let names = ["p1", "p2"]
        let good = text.utf8.prefix(text.utf8.count - 11)
        let pods = try PodList.parse(Array(good), name: "p.csv")
        #expect(pods.map(\.name) == names)
        #expect(pods.map(\.line) == [2, 4])
        #expect(pods[0].task.cpuMilli == 2000)
        do throws(ConfigurationError) {
            _ = try PodList.parse(Array(text.utf8), name: "p.csv")
            Issue.record("accepted")
        } catch {
            #expect(error.description.hasPrefix("p.csv:5:8: num_gpu: 'x' is not a whole number"))
        }
    }

    @Test("Servers without GPUs are left out where that is asked for")
    func withoutGPUs() throws {
        let text = "sn,cpu_milli,memory_mib,gpu,model\nc1,1,1,0,\nn1,1,1,2,G2\n"
        let nodes = try NodeList.parse(
            Array(text.utf8), name: "n.csv", skippingWithoutGPUs: true)
        #expect(nodes.map(\.name) == ["n1"])
    }

    @Test("A model that is named twice counts once")
    func models() throws {
        let text = Self.header + "\np,1,1,1,1000,A|B|B|A\n"
        #expect(try PodList.parse(Array(text.utf8), name: "p.csv")[0].models == ["A", "B"])
    }

    @Test(
        "A bad pod list is refused with its line",
        arguments: [
            ("", "p.csv:1: the list is empty"),
            (
                "name,cpu_milli\n",
                "p.csv:1: the list has no column 'memory_mib' (its columns are name, cpu_milli)"
            ),
            (header + "\np1,1,1,1,1000\n", "p.csv:2: 5 fields in a list of 6 columns"),
            (
                header + "\np1,1,1,1,1000,\n\np2,1,1,1,1000,\n",
                "p.csv:3: 1 fields in a list of 6 columns"
            ),
            (header + "\np1,x,1,1,1000,\n", "p.csv:2:4: cpu_milli: 'x' is not a whole number"),
            (header + "\np1,-1,1,1,1000,\n", "p.csv:2:4: cpu_milli: '-1' is not between 0 and"),
            (
                header + "\np1,1,1,1,1001,\n",
                "p.csv:2:10: gpu_milli: '1001' is not between 0 and 1000"
            ),
            (header + "\np1,1,1,2,500,\n", "p.csv:2:10: a task asks for shares of several GPUs"),
            (header + "\np1,1,1,65,1000,\n", "p.csv:2:8: a task asks for 65 GPUs"),
            (header + "\np1,1,1,1,0,\n", "p.csv:2:10: a task asks for 0 thousandths of a GPU"),
            (header + "\np1,1,1,1,1000,A||B\n", "p.csv:2:15: the model '' of gpu_spec is empty"),
            (header + "\np 1,1,1,1,1000,\n", "p.csv:2:1: the pod's name 'p 1' has a character"),
            (header + "\np1,1,1,1,1000,\np1,1,1,1,1000,\n", "p.csv:3:1: pod 'p1' is there twice"),
            (header + "\n\"p1,1\",1,1,1,1000\n", "p.csv:2: 5 fields in a list of 6 columns"),
            (header + "\np1,1,1,\"x\",1000,\n", "p.csv:2:8: num_gpu: 'x' is not a whole"),
            (header + "\n\"p1\"x,1,1,1,1000,\n", "p.csv:2:5: a comma or the line's end is"),
            (header + "\np\"1,1,1,1,1000,\n", "p.csv:2:2: a quote inside of a field"),
            (header + "\np1,1,\"1,1,1000,\n", "p.csv:2:6: the quote that starts this field"),
            (header + ",name\np1,1,1,1,1000,,p2\n", "p.csv:1: the list has more than one column"),
        ])
    func refusesPods(text: String, expected: String) {
        do throws(ConfigurationError) {
            _ = try PodList.parse(Array(text.utf8), name: "p.csv")
            Issue.record("accepted")
        } catch {
            #expect(error.description.hasPrefix(expected), "\(error)")
        }
    }

    @Test(
        "A bad node list is refused with its line",
        arguments: [
            ("sn,cpu_milli,memory_mib,gpu,model\n", "n.csv: the list has no servers"),
            (
                "sn,cpu_milli,memory_mib,gpu,model\nn1,1,1,0,G2\n",
                "n.csv:2:8: gpu: '0' is not between 1 and 64"
            ),
            (
                "sn,cpu_milli,memory_mib,gpu,model\nn1,1,1,1,\n",
                "n.csv:2:10: the name of model '' is empty"
            ),
            (
                "sn,cpu_milli,memory_mib,gpu,model\nn1,1,1,1,G2\nn1,1,1,1,G2\n",
                "n.csv:3:1: server 'n1' is there twice"
            ),
        ])
    func refusesNodes(text: String, expected: String) {
        do throws(ConfigurationError) {
            _ = try NodeList.parse(Array(text.utf8), name: "n.csv")
            Issue.record("accepted")
        } catch {
            #expect(error.description.hasPrefix(expected), "\(error)")
        }
    }
}
