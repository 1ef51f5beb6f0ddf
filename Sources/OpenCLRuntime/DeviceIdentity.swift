/// What tables of measured parameters are looked up by.
public struct DeviceIdentity: Sendable, Hashable {
  public let vendor: DeviceModel.Vendor
  /// See ``DeviceModel/architecture``.
  public let architecture: String
  /// The device's name as its driver states it.
  public let device: String

  public init(vendor: DeviceModel.Vendor, architecture: String, device: String) {
    self.vendor = vendor
    self.architecture = architecture
    self.device = device
  }
}

extension OpenCLDevice {
  /// Vendor, architecture and name, without a probe.
  public var identity: DeviceIdentity {
    DeviceIdentity(
      vendor: DeviceProbe.vendor(self), architecture: DeviceProbe.architecture(self), device: name)
  }
}
