// Choices of MLflow's UI, made before it starts: model training, no assistant, no telemetry.
for (const [key, value] of Object.entries({
  "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": true,
  "mlflow.assistant.panelOpen_v1": false,
  "mlflow.settings.telemetry.enabled_v1": false,
  "mlflow.telemetry.info.alert.dismissed_v1": true,
})) {
  localStorage.setItem(key, JSON.stringify(value));
}
// MLflow's home page is about generative AI.
if (["", "#", "#/"].includes(location.hash)) {
  location.replace("#/experiments?workflowType=machine_learning");
}
