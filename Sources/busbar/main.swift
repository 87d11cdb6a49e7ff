// SPDX-License-Identifier: Apache-2.0

import Glibc
import OperatorCLI

exit(await Program.run(Array(CommandLine.arguments.dropFirst())))
