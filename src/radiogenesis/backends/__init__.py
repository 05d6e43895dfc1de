"""What draws in torch's place (`--backend`): the fusion GAN's generator as ONNX, run by ONNX Runtime or OpenVINO."""
