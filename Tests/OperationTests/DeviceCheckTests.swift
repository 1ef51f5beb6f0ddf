import Basics
import CPUBackend
import OpenCLBackend
import OpenCLRuntime
import Tensors
import Testing

@testable import DeviceCheck

extension Operations {
  /// The check that users run on a new device.
  @Suite struct DeviceCheckTests {
    private static func finding(
      _ tolerance: Double, again: (@Sendable (any TrainingBackend) throws -> [CheckedRows])? = nil,
      _ run: @escaping @Sendable (any TrainingBackend) throws -> [CheckedRows]
    ) throws -> DeviceCheck.Finding {
      let device = try OpenCLBackend(device: OpenCLPlatforms.devices()[0])
      return try DeviceCheck(device: device, oracle: CPUBackend(threads: 1)).check(
        CheckCase(operation: "x", detail: "y", tolerance: tolerance, again: again, run: run))
    }

    /// The first, the middle and the last case of every operation: 'retort check-device' runs the rest.
    @Test func aSoundDevicePasses() throws {
      let device = try OpenCLBackend(device: OpenCLPlatforms.devices()[0])
      let check = try DeviceCheck(device: device, oracle: CPUBackend(threads: 2))
      var findings: [DeviceCheck.Finding] = []
      for operation in DeviceCheck.operations {
        let cases = DeviceCheck.cases.filter { $0.operation == operation }
        for place in Set([0, cases.count / 2, cases.count - 1]).sorted() {
          findings.append(check.check(cases[place]))
        }
      }
      #expect(DeviceCheck.cases.count > 250 && findings.count > 80)
      for finding in findings {
        #expect(finding.problem == nil, "\(finding.operation), \(finding.detail)")
      }
      // A tolerance far above every difference would find little.
      #expect(findings.contains { ($0.worst ?? 0) > 0.01 })
    }

    @Test func oneOperationCanBeCheckedAlone() throws {
      let device = try OpenCLBackend(device: OpenCLPlatforms.devices()[0])
      var reported = 0
      let check = try DeviceCheck(device: device, oracle: CPUBackend(threads: 1))
      let findings = check.run(only: "add") { _ in reported += 1 }
      #expect(findings.count == 5 && reported == 5)
      #expect(findings.allSatisfy { $0.operation == "add" && $0.problem == nil })
    }

    @Test func aWrongNumberIsFoundWithItsPlace() throws {
      let found = try Self.finding(1e-3) { backend in
        let x = backend is CPUBackend ? [1, 2, 3, 4] : [1, 2, 3, 4.1] as [Float]
        return [CheckedRows(values: x, width: 2)]
      }
      #expect(found.problem?.contains("row 1, column 1: 4.1, expected 4.0") == true)
    }

    @Test(arguments: [Float.nan, .infinity, 0])
    func whatIsNoNumberIsFound(_ wrong: Float) throws {
      let found = try Self.finding(1e-3) { backend in
        [CheckedRows(values: [backend is CPUBackend ? 1 : wrong], width: 1)]
      }
      #expect(found.problem != nil)
    }

    @Test func smallDifferencesPassAndAreMeasured() throws {
      let found = try Self.finding(1e-3) { backend in
        [CheckedRows(values: [backend is CPUBackend ? 1 : 1.0005, -0.0], width: 2)]
      }
      #expect(found.problem == nil)
      #expect((0.45..<0.55).contains(found.worst ?? 0))
    }

    @Test func aResultThatIsMissingIsFound() throws {
      let found = try Self.finding(1) { backend in
        backend is CPUBackend
          ? [CheckedRows(values: [1, 2], width: 2)] : [CheckedRows(values: [1], width: 1)]
      }
      #expect(found.problem?.contains("size") == true)
    }

    @Test func bitsThatChangeBetweenTwoRunsAreFound() throws {
      let found = try Self.finding(
        0, again: { _ in [CheckedRows(values: [1], width: 1)] },
        { _ in [CheckedRows(values: [Float(1).nextUp], width: 1)] })
      #expect(found.problem != nil)
    }

    @Test func aFailureOfTheDeviceIsTheCasesProblem() throws {
      let found = try Self.finding(1) { backend in
        if backend is CPUBackend { return [] }
        throw RetortError(.deviceFailure, "the kernel hung", remedy: "none")
      }
      #expect(found.problem?.contains("the kernel hung") == true && found.worst == nil)
    }
  }
}
