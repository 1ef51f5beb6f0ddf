import Basics
import Kernels
import OpenCLRuntime
import Tensors
import TestSupport
import Testing

@testable import OpenCLBackend

extension Operations {
  /// Launch shapes of the tensor cores' kernels, with emulated warp instructions.
  @Suite struct WarpTuningTests {
    private static func emulated(_ tuning: Tuning? = nil) throws -> OpenCLBackend {
      try OpenCLBackend(
        device: OpenCLPlatforms.devices()[0], family: .gpu,
        features: KernelFeatures(warpInstructions: .emulated, warpgroupInstructions: .emulated),
        tuning: tuning)
    }

    private static func parameters(_ text: String) throws -> KernelParameters {
      KernelParameters(
        Dictionary(
          uniqueKeysWithValues: try text.split(separator: " ").map {
            let parts = $0.split(separator: "=")
            return (String(parts[0]), try #require(Int(parts[1])))
          }))
    }

    /// What every launch was before there was a table.
    @Test func whatEveryDeviceStartsWithIsWhatTheKernelsWereMadeFor() throws {
      let tuning = try Tuning.of(OpenCLPlatforms.devices()[0], userFolder: nil)
      for kind in ["dense", "quantised"] {
        let medium = "BAND=8 STAGES=3 WARPS_N=2 WARPS_X=2 WARP_ROWS=64"
        let large = "BAND=8 STAGES=2 WARPS_N=2 WARPS_X=4 WARP_ROWS=64"
        #expect(tuning[.matmulWarp, "\(kind).medium"].description == medium)
        #expect(tuning[.matmulWarp, "\(kind).large"].description == large)
        #expect(tuning[.matmulWarpRows, "\(kind).few"].description == "AHEAD=8 COLUMN_TILES=1 WARPS=4")
        #expect(tuning[.matmulWarpRows, "\(kind).some"].description == "AHEAD=8 COLUMN_TILES=2 WARPS=4")
      }
      #expect(tuning[.int8Warp, "medium"].description == "BAND=8 STAGES=3 WARPS_X=2 WARP_ROWS=32")
      #expect(tuning[.int8Warp, "large"].description == "BAND=8 STAGES=2 WARPS_X=3 WARP_ROWS=64")
      #expect(tuning[.int8WarpRows, "few"].description == "AHEAD=8 COLUMN_TILES=1 WARPS=8")
      #expect(tuning[.int8WarpRows, "some"].description == "AHEAD=8 COLUMN_TILES=2 WARPS=4")
      #expect(tuning[.productWarp, "medium"].description == "WARPS_M=1 WARPS_N=2")
      #expect(tuning[.productWarp, "large"].description == "WARPS_M=2 WARPS_N=4")
      #expect(tuning[.productWarpgroup, "medium"].description == "BAND=8 WARPGROUPS=2")
      #expect(tuning[.productWarpgroup, "large"].description == "BAND=8 WARPGROUPS=4")
      #expect(tuning[.productWarpgroupChoice].description == "WGMMA=0")
      #expect(tuning[.attentionWarp].description == "KEYS=64 SPLIT=256")
      #expect(tuning[.attentionWarpGroups].description == "DIRECT_GROUPS=2 QUERIES=64")
      #expect(tuning[.encoderAttentionWarp].description == "KEYS=64 QUERIES=64")
      #expect(tuning[.encoderAttentionGradientWarp, "narrow"].description == "TILE=32 WARPS=4")
      #expect(tuning[.encoderAttentionGradientWarp, "wide"].description == "TILE=16 WARPS=4")
      let places = [(2048, 2040, "large"), (2048, 1920, "medium"), (65, 16384, "large"), (65, 45, "medium")]
      for (rows, columns, shapeClass) in places {
        let largeFrom = tuning[.matmulWarpChoice]["LARGE_FROM"]
        let found = MatMulWarpClass.index(rows: rows, columns: columns, largeFrom: largeFrom, .bf16)
        #expect(MatMulWarpClass.tiles[found] == "dense.\(shapeClass)")
      }
    }

    struct Choices: Sendable, CustomTestStringConvertible {
      let kernel: TunableKernel
      let shapeClass: String
      let choices: [String]
      /// Whether they name every value that is declared.
      var areAll = true
      var testDescription: String { "\(kernel.name) \(shapeClass)" }
    }

    /// The shapes farthest from the shipped ones; all combinations would take the compiler too long.
    static let choices = [
      Choices(
        kernel: .matmulWarp, shapeClass: "dense.medium",
        choices: [
          "BAND=16 STAGES=2 WARPS_N=4 WARPS_X=2 WARP_ROWS=64",
          "BAND=4 STAGES=4 WARPS_N=1 WARPS_X=2 WARP_ROWS=32",
        ], areAll: false),
      Choices(
        kernel: .matmulWarp, shapeClass: "quantised.medium",
        choices: ["BAND=4 STAGES=4 WARPS_N=1 WARPS_X=4 WARP_ROWS=32"], areAll: false),
      Choices(
        kernel: .matmulWarpRows, shapeClass: "dense.few",
        choices: [
          "AHEAD=4 COLUMN_TILES=1 WARPS=2", "AHEAD=16 COLUMN_TILES=2 WARPS=8",
          "AHEAD=8 COLUMN_TILES=2 WARPS=4",
        ]),
      Choices(
        kernel: .matmulWarpRows, shapeClass: "quantised.some", choices: ["AHEAD=4 COLUMN_TILES=2 WARPS=8"],
        areAll: false),
      Choices(
        kernel: .int8Warp, shapeClass: "medium", choices: ["BAND=4 STAGES=2 WARPS_X=3 WARP_ROWS=64"],
        areAll: false),
      Choices(
        kernel: .int8WarpRows, shapeClass: "few", choices: ["AHEAD=4 COLUMN_TILES=2 WARPS=4"], areAll: false),
      Choices(
        kernel: .productWarp, shapeClass: "medium",
        choices: ["WARPS_M=4 WARPS_N=2", "WARPS_M=1 WARPS_N=8"], areAll: false),
      Choices(
        kernel: .productWarpgroup, shapeClass: "medium",
        choices: ["BAND=16 WARPGROUPS=4", "BAND=4 WARPGROUPS=1", "BAND=8 WARPGROUPS=2"]),
      Choices(kernel: .productWarpgroupChoice, shapeClass: "any", choices: ["WGMMA=1", "WGMMA=0"]),
      Choices(
        kernel: .attentionWarpGroups, shapeClass: "any",
        choices: [
          "DIRECT_GROUPS=1 QUERIES=32", "DIRECT_GROUPS=8 QUERIES=128", "DIRECT_GROUPS=2 QUERIES=128",
          "DIRECT_GROUPS=4 QUERIES=64",
        ]),
      Choices(
        kernel: .attentionWarp, shapeClass: "any",
        choices: ["KEYS=32 SPLIT=128", "KEYS=64 SPLIT=1024"], areAll: false),
      Choices(
        kernel: .encoderAttentionWarp, shapeClass: "any",
        choices: ["KEYS=32 QUERIES=32", "KEYS=64 QUERIES=128"],
        areAll: false),
      Choices(
        kernel: .encoderAttentionGradientWarp, shapeClass: "narrow",
        choices: ["TILE=16 WARPS=2", "TILE=32 WARPS=8"], areAll: false),
      Choices(
        kernel: .encoderAttentionGradientWarp, shapeClass: "wide", choices: ["TILE=32 WARPS=4"], areAll: false
      ),
    ]

    @Test(arguments: choices)
    func shapesGiveTheBitsOfTheShippedOnesAndOrdersAreNearThePortableKernels(_ listed: Choices) throws {
      let (kernel, shapeClass) = (listed.kernel, listed.shapeClass)
      let choices = try listed.choices.map(Self.parameters)
      for parameter in kernel.parameters where listed.areAll {
        #expect(Set(choices.map { $0[parameter.name] }) == Set(parameter.values), "\(parameter.name)")
      }
      let portable = try OpenCLBackend(
        device: OpenCLPlatforms.devices()[0], family: .gpu, features: .portable)
      let backend = try Self.emulated()
      let (reference, trial) = (
        try kernel.trial(portable, shapeClass), try kernel.trial(backend, shapeClass)
      )
      let expected = try portable.read(reference.run())
      let shipped = try backend.read(trial.run())
      #expect(Tuner.difference(shipped, expected, trial.tolerance) == nil)
      for choice in choices {
        #expect(kernel.choices.contains(choice) && kernel.objection(choice, portable.context.device) == nil)
        backend.tuning[kernel, shapeClass] = choice
        let actual = try backend.read(trial.run())
        if kernel.changesBits {
          #expect(Tuner.difference(actual, expected, trial.tolerance) == nil, "\(choice)")
        } else {
          #expect(Judge.bitDifference(actual[...], shipped[...]) == nil, "\(choice)")
        }
      }
    }

    @Test func aShortSearchOverEmulatedInstructionsWritesAValidTable() throws {
      let device = try OpenCLPlatforms.devices()[0]
      let shipped = try Tuning.of(device, userFolder: nil)
      var earlier = shipped
      earlier[.attentionWarpGroups] = try Self.parameters("DIRECT_GROUPS=1 QUERIES=64")
      let kernels: [TunableKernel] = [.attentionWarpGroups, .elementwiseCPU]
      let tuner = try Tuner(
        device: device, settings: .init(budgetSeconds: 0.5), kernels: kernels, shipped: shipped,
        earlier: earlier, family: .gpu, features: KernelFeatures(warpInstructions: .emulated))
      #expect(tuner.pairs.count == 1)
      let findings = try tuner.run()
      for finding in findings {
        #expect(finding.failure == nil && finding.rejected.isEmpty && finding.refused.isEmpty, "\(finding)")
        #expect(finding.timed > 1 && finding.bestSeconds > 0)
      }
      let json = try tuner.table(findings).json()
      #expect(try TuningTable(json: json, file: "").entries.count == 1)
      let plain = try Tuner(
        device: device, settings: .init(budgetSeconds: 1), kernels: kernels, family: .gpu, features: .portable
      )
      #expect(plain.pairs.isEmpty)
    }

    /// `Tools/check-kernels` builds what a table may ask for: no choice spills more registers than its file states.
    @Test func everyDeclaredShapeIsAmongThoseThatTheKernelFilesAreCheckedWith() throws {
      let device = try OpenCLPlatforms.devices()[0]
      // Parameters that no code is shaped by are left out.
      let kernels: [(TunableKernel, KernelSource, [String])] = [
        (.matmulWarp, .matmulMMA, ["WARPS_N", "WARPS_X", "WARP_ROWS", "STAGES"]),
        (.matmulWarpRows, .matmulMMA, ["COLUMN_TILES", "AHEAD"]),
        (.int8Warp, .matmulMMAInt8, ["WARPS_X", "WARP_ROWS", "STAGES"]),
        (.int8WarpRows, .matmulMMAInt8, ["COLUMN_TILES", "WARPS", "AHEAD"]),
        (.productWarp, .productMMA, ["WARPS_M", "WARPS_N"]),
        (.productWarpgroup, .productWGMMA, ["WARPGROUPS"]),
        (.attentionWarp, .attentionMMA, ["KEYS"]), (.attentionWarpGroups, .attentionMMA, ["QUERIES"]),
        (.encoderAttentionWarp, .encoderAttentionMMA, ["QUERIES", "KEYS"]),
        (.encoderAttentionGradientWarp, .encoderAttentionGradientMMA, ["WARPS", "TILE"]),
      ]
      for (kernel, source, names) in kernels {
        let checked = source.text.split(separator: "\n").filter { $0.hasPrefix("// Check:") }.map(
          Self.options)
        #expect(!checked.isEmpty)
        for choice in kernel.choices where kernel.objection(choice, device) == nil {
          let isChecked = checked.contains { line in
            names.allSatisfy { line[$0]?.contains(choice[$0]) == true }
          }
          #expect(isChecked, "\(kernel.name) \(choice)")
        }
      }
    }

    /// The values that a line `// Check: -DNAME=1,2 …` has for each macro.
    private static func options(_ line: Substring) -> [String: [Int]] {
      var options: [String: [Int]] = [:]
      for option in line.split(separator: " ") where option.hasPrefix("-D") {
        let parts = option.dropFirst(2).split(separator: "=")
        options[String(parts[0])] = parts[1].split(separator: ",").compactMap { Int($0) }
      }
      return options
    }
  }
}
